"""Where tables are printed."""

import rich.console

PLAIN_WIDTH = 130  # of tables where the output is not a terminal


def console() -> rich.console.Console:
    """The terminal at its width, else plain text wide enough for tables."""
    out = rich.console.Console()
    return out if out.is_terminal else rich.console.Console(width=PLAIN_WIDTH)
