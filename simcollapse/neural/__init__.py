"""Stages whose models are neural networks (Flax NNX): the same loop, run from the host.

`loop` holds the round, `selection` which generated rows are kept, `pools` which rows a fit sees, `training` a fit,
`checkpoints` what a killed run goes on from. Each stage is a folder: `vae`.
"""

from importlib.util import find_spec

_MISSING = [name for name in ("flax", "optax", "orbax") if find_spec(name) is None]
if _MISSING:
    raise ImportError(
        f"simcollapse.neural needs {', '.join(_MISSING)}: install the extra `neural`, as in "
        "pip install 'simcollapse[neural]'"
    )
