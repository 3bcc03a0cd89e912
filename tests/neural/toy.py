"""A task without a network: the mean of a normal sample. The loop's bookkeeping shows in numbers one can follow."""

import jax
import numpy as np

from simcollapse.neural import loop


class Toy:
    """Rows are {"x": (N,), "label": (N,)}; the model is {"mean": ()}."""

    classes = 2

    def __init__(self, fail_at: float = np.inf):
        self.descriptions = {"error": "distance of the mean to 0"}
        self.fail_at = fail_at  # a fit to more rows than this fails, as if its loss had become NaN
        self.seen = []

    def real(self, key):
        return self._rows(key, 0.0, 10)

    def fit(self, key, rows, previous):
        self.seen.append(rows)
        if len(rows["x"]) > self.fail_at:
            raise loop.NotFitted(7, float("nan"))
        return {"mean": np.asarray(rows["x"].mean())}, {"steps": 1, "rows": len(rows["x"])}

    def generate(self, key, model, count):
        return self._rows(key, model["mean"], count)

    def correct(self, rows):
        return np.abs(rows["x"]) < 1

    def groups(self, rows):
        return rows["label"]

    def measure(self, key, model):
        return {"error": abs(float(model["mean"]))}

    def show(self, key, model):
        return {"shown": np.full((2, 2), 255 * (model["mean"] > 0), dtype=np.uint8)}

    def _rows(self, key, mean, count):
        x = mean + np.asarray(jax.random.normal(key, (count,)))
        return {"x": x, "label": (np.arange(count) % 2).astype(np.int32)}


class Near:
    """Scores by closeness to a center."""

    def __init__(self, center=0.5):
        self.center = center

    def score(self, key, rows, model):
        return -np.abs(rows["x"] - self.center)
