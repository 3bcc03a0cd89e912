"""Replace: each fit sees only the latest round's rows."""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Replace:
    """The pool is emptied before a round's rows enter it."""

    keeps = False
    fits_alone = True
    needs_rows = False


def replace() -> Replace:
    """The workflow that trains each round on that round's rows alone. Source: [Kazdan24], section 2 (v4)."""
    return Replace()
