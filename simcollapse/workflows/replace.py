"""Replace: each fit sees only the latest round's rows."""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Replace:
    """The pool is emptied before a round's rows enter it."""

    fits_alone = True
    needs_rows = False

    def begin(self, task, pool, model, capacity):
        return task.empty(capacity, model)

    def training(self, key, task, pool, count, limit):
        return pool


def replace() -> Replace:
    """The workflow that trains each round on that round's rows alone. Source: [Kazdan24], section 2 (v4)."""
    return Replace()
