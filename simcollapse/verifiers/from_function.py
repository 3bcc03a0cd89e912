"""A user's own verifier: a plain function of the rows."""

import dataclasses
import functools
import types
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FunctionVerifier:
    """Accepts where `function(key, batch, model)` is true. Build it with `from_function(...)`."""

    function: Callable = dataclasses.field(metadata={"static": True})
    on_host: bool = dataclasses.field(metadata={"static": True})

    def init(self, key, task):
        return ()

    def accept(self, key, judge, data, model):
        """Mask of accepted rows, shape (N,).

        Raises:
            ValueError: the function returned another shape.
            TypeError: it returned something that is neither boolean nor a number.
        """
        if self.on_host:
            return self._ask_host(key, data, model)
        return _checked(self.function(key, data, model), _mask_shape(data), self.function)

    def _ask_host(self, key, data, model):
        shape = _mask_shape(data)
        return jax.pure_callback(
            functools.partial(_call_on_host, self.function, shape),
            jax.ShapeDtypeStruct(shape, bool),
            jax.random.key_data(key),
            data.visible(),
            model,
            vmap_method="sequential",
        )


def _mask_shape(data):
    return data.x.shape[:1]


def from_function(function: Callable, *, on_host: bool | None = None) -> "FunctionVerifier | Undecided":
    """A verifier from `function(key, batch, model) -> mask`.

    `batch.x` has shape (N, D); in a regression `batch.y` has shape (N,) and `model.coef` (D,); in a classification
    `batch.label`, the generated class, and `batch.truth`, the true one, have shape (N,), and `model.coef` is as
    the task says. The mask has shape (N,).

    Args:
        function: in JAX operations it is compiled into the loop. Anything else (NumPy, a remote call) runs on
            the host, a call for every chain and chunk of rows, with NumPy arrays and a `numpy.random.Generator`
            in place of `key`; it must be a pure function of what it is given.
        on_host: True or False to say which; None to try JAX first when the simulation starts.

    Raises:
        TypeError: `function` cannot be called.
    """
    if not callable(function):
        raise TypeError(
            f"verifier must be a verifier or a function (key, batch, model) -> mask, got {function!r}"
        )
    return (
        FunctionVerifier(function=function, on_host=bool(on_host))
        if on_host is not None
        else Undecided(function)
    )


@dataclasses.dataclass(frozen=True)
class Undecided:
    """A function of which it is not yet known whether JAX can trace it; `decide` finds out."""

    function: Callable

    def decide(self, task) -> FunctionVerifier:
        """The function traced if JAX can trace it, else called on the host; its own error if neither works."""
        traced = FunctionVerifier(function=self.function, on_host=False)
        model = task.truth_model()

        def rows(key):
            return task.generate(key, model, jnp.int32(0), jnp.asarray(True))

        try:
            jax.eval_shape(lambda key: _from_jax(traced.accept(key, (), rows(key), model)), jax.random.key(0))
            return traced
        except Exception as tracing_error:  # whatever a user's function raises when it meets a tracer
            data = rows(jax.random.key(1))
            try:
                _call_on_host(self.function, _mask_shape(data), np.zeros(2, np.uint32), data.visible(), model)
            except Exception as host_error:
                raise host_error from tracing_error
        return FunctionVerifier(function=self.function, on_host=True)


def _from_jax(mask):
    """`mask` if JAX made it; NumPy's own random mask would be baked into the program and be the same for ever."""
    if not isinstance(mask, jax.Array):
        raise TypeError(f"not a JAX array: {type(mask)}")
    return mask


def _call_on_host(function, shape, key_data, visible, model):
    """The mask of a function on the host, which sees the batch's arrays by name, as NumPy's."""
    random = np.random.default_rng(np.asarray(key_data))
    batch = types.SimpleNamespace(**{name: np.asarray(value) for name, value in visible.items()})
    mask = function(random, batch, jax.tree.map(np.asarray, model))
    return np.asarray(_checked(mask, shape, function)).astype(bool)


def _checked(mask, shape, function):
    name = getattr(function, "__name__", "function")
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    if np.shape(mask) != shape:
        raise ValueError(f"verifier {name!r} must return a mask of shape {shape}, got shape {np.shape(mask)}")
    if not (np.issubdtype(mask.dtype, np.bool_) or np.issubdtype(mask.dtype, np.number)):
        raise TypeError(f"verifier {name!r} must return booleans, got dtype {mask.dtype}")
    return mask
