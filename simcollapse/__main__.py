"""`python -m simcollapse` is the command `simcollapse`."""

import sys

from simcollapse.cli import main

if __name__ == "__main__":
    sys.exit(main())
