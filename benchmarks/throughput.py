"""How many chain-rounds a second, against plain NumPy and the hardware's limit? The same as `simcollapse bench`.

python benchmarks/throughput.py --out benchmarks/results/cpu-2core.json
"""

import sys

import tyro

from simcollapse.bench import main_run

if __name__ == "__main__":
    sys.exit(tyro.cli(main_run))
