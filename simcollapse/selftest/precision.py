"""How many digits products keep on this device, and which numbers it knows.

GPUs multiply float32 matrices in TensorFloat-32 and TPUs in bfloat16 unless asked for more; both halve the digits
or worse, silently. Told apart by the relative error of a product of normal matrices against NumPy in float64.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse import chain, keys, linalg
from simcollapse.selftest import determinism
from simcollapse.selftest.check import Check, Measurement
from simcollapse.tasks import designs, linear_regression
from simcollapse.verifiers import none

SIZE = 256  # of the matrices
DIM = linalg.BLOCK + 6
CHUNKS, CHAINS, SEED = determinism.CHUNKS, 8, determinism.SEED  # of the fits
# Root mean square relative error of a product of normal matrices: about sqrt(2/3) u for inputs rounded to a relative
# u = 2^-11 (TensorFloat-32: 3e-4) or 2^-9 (bfloat16: 2e-3); 2^-16 for three passes of bfloat16; below 1e-6 in float32.
KINDS = (
    (3e-6, "float32"),
    (5e-5, "three passes of bfloat16"),
    (1e-3, "TensorFloat-32"),
    (np.inf, "bfloat16"),
)
FLOAT32 = KINDS[0][0]
FLOAT64 = 1e-14  # 2^-53 times the root of 256, and room
# Of fitted coefficients, whose normal equations have a condition number of about 10: float32 leaves 1e-6 of them,
# TensorFloat-32 1e-3.
FIT = 2e-5
ADVICE = "set JAX_DEFAULT_MATMUL_PRECISION=highest: the simulator does not ask for it"


def kind_of(error: float) -> str:
    """What arithmetic leaves this relative error in a product."""
    return next(name for limit, name in KINDS if not error > limit)


def _normal(shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _relative(found, exact) -> float:
    """Root mean square error over root mean square size."""
    found = np.asarray(found, dtype=np.float64)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _halved(array: np.ndarray, planted: bool) -> jax.Array:
    """The array on the device; with its digits cut to bfloat16's if planted."""
    out = jnp.asarray(array)
    return out.astype(jnp.bfloat16).astype(out.dtype) if planted else out


def _products(planted: bool) -> Iterator[Measurement]:
    left, right = _normal((SIZE, SIZE), 1), _normal((SIZE, SIZE), 2)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    multiply: Any = jax.jit(jnp.matmul, static_argnames="precision")
    a, b = _halved(left, planted), _halved(right, planted)
    default = _relative(multiply(a, b), exact)
    yield Measurement(
        "float32 product as JAX does it by default", default, None, f"{kind_of(default)} arithmetic"
    )
    best = _relative(multiply(a, b, precision="highest"), exact)
    yield Measurement("float32 product at precision 'highest'", best, FLOAT32, f"{kind_of(best)} arithmetic")
    for what, error in _fit_errors(planted).items():
        words = f"{-np.log10(error):.1f} digits" + ("" if error <= FIT else f"; {ADVICE}")
        if error <= FIT < default:
            words += ", which the simulator asks for"
        yield Measurement(f"float32, fit of the simulator on {what}", error, FIT, words)


def _fit_errors(planted: bool) -> dict[str, float]:
    """Relative errors of the coefficients that the engine fits in round 0, against NumPy on the same rows.

    Of regressions that are past the sizes up to which the simulator writes products out.
    """
    first = jax.local_devices()[0]
    with jax.enable_x64(False):
        drawn = linear_regression(DIM)
        given = linear_regression(determinism.DIM, design="fixed", rows=determinism.given_rows())
        found = {
            "Gaussian rows": (
                drawn,
                CHAINS,
                determinism.fitted(drawn, none(), rounds=0, chains=CHAINS, device=first),
            ),
            "given rows": (given, determinism.CHAINS, determinism.simulated(first)),
        }
        return {
            what: _relative(result.model_coef.values[:, 0], _references(task, chains, planted))
            for what, (task, chains, result) in found.items()
        }


def _references(task: Any, chains: int, planted: bool) -> np.ndarray:
    """Least squares in float64 on the real rows of each chain; the truth is zero and the noise one."""

    def rows(place):
        key = keys.chain_key(keys.root(SEED), jnp.zeros(0, jnp.uint32), place[0])
        drawn = task.real(chain.keys_of_round(key, 0), place[1].astype(jnp.int32), None)
        return drawn.x, drawn.noise

    places = np.array([*np.ndindex(chains, CHUNKS)], dtype=np.uint32)
    drawn = jax.jit(lambda places: jax.lax.map(rows, places))(places)  # a batch would take longer to compile
    x, noise = (np.asarray(part).reshape(chains, CHUNKS * designs.CHUNK, -1) for part in drawn)
    x = np.asarray(_halved(x, planted)).astype(np.float64)
    return np.stack(
        [np.linalg.lstsq(a, b[:, 0].astype(np.float64), rcond=None)[0] for a, b in zip(x, noise, strict=True)]
    )


PRODUCTS = Check("products of matrices", "inputs rounded to bfloat16 before every product", False, _products)


def _float64(planted: bool) -> Iterator[Measurement]:
    with jax.enable_x64(True):
        one = jnp.ones(3, dtype=float)
        there = one.dtype == np.float64
        yield Measurement(
            "float64 arrays", float(there), None, "there" if there else "absent: all is float32"
        )
        if not there:
            return
        left, right = np.random.default_rng(6).normal(size=(2, SIZE, SIZE))
        exact = (left.astype(np.longdouble) @ right.astype(np.longdouble)).astype(np.float64)
        left = left.astype(np.float32).astype(np.float64) if planted else left
        product = jax.jit(jnp.matmul)(jnp.asarray(left), jnp.asarray(right))
        yield Measurement("float64 product", _relative(product, exact), FLOAT64)
        small = jax.jit(lambda x: (x + 2.0**-52) - x)(one)
        yield Measurement("float64: 1 + 2^-52 - 1, over 2^-52, less 1", float(small[0]) * 2.0**52 - 1, 0.0)


DOUBLE = Check("float64", "a factor rounded to float32", False, _float64)


def _subnormal(planted: bool) -> Iterator[Measurement]:
    """Numbers below the smallest normal one; many devices take them for zero, which is no fault."""
    for name, x64 in (("float32", False), ("float64", True)):
        with jax.enable_x64(x64):
            smallest = jnp.finfo(jnp.zeros((), dtype=float).dtype).tiny
            half = jax.jit(lambda x: x / 2)(jnp.full(2, smallest, dtype=float))
            kept = float(np.asarray(half)[0]) > 0 and not planted
        words = "subnormal numbers are kept" if kept else f"flushed to zero below {float(smallest):.3g}"
        yield Measurement(f"{name}: half of the smallest normal number", float(kept), None, words)
        with jax.enable_x64(x64):
            root = jax.jit(lambda x: jnp.log(x * x))(jnp.sqrt(jnp.full(2, smallest, dtype=float)) * 1.5)
            error = abs(float(root[0]) - np.log(float(smallest) * 2.25))
        yield Measurement(
            f"{name}: log of a number near the smallest normal one", 1.0 if planted else error, 1e-4
        )


SUBNORMAL = Check("very small numbers", "a logarithm that is off by one", False, _subnormal)
