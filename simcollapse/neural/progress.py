"""What a long run says while it runs: a line after each round, with the loss and the time left."""

import sys
import time
from typing import Any

import numpy as np


class Progress:
    """Counts fits, says how long the rest will take at the pace so far. Prints to standard error.

    Args:
        fits: that the run will make, those that a checkpoint spares included.
    """

    def __init__(self, fits: int):
        self._fits, self._done, self._spared = fits, 0, 0
        self._begun = time.perf_counter()

    def spared(self, fits: int) -> None:
        """So many fits were found on disk."""
        self._done += fits
        self._spared += fits

    def round(self, words: str, record: dict[str, Any]) -> None:
        """One fit more: `words` say which, `record` is what its round recorded."""
        self._done += 1
        spent = time.perf_counter() - self._begun
        left = spent / (self._done - self._spared) * (self._fits - self._done)
        told = [
            f"{name} {record[name]:.4g}"
            for name in ("fit_loss", "fid", "accuracy")
            if _finite(record.get(name))
        ]
        print(
            f"fit {self._done} of {self._fits}: {words}: {', '.join(told)}; {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


def _finite(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))
