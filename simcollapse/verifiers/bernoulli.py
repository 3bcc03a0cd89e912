"""Independent selection: a row is kept by a toss that knows whether it is correct, and nothing else of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from simcollapse.checks import as_numbers, check_fields, check_shape, check_value, parameter


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Keeps a correct row with probability phi, an incorrect one with psi. Build it with `bernoulli(...)`.

    Source: [Feng24], section 4 (arXiv 2406.07515v2).
    """

    phi: jax.Array | None = parameter("unit", doc="(), or (K,) by true class: P(kept | correct)")
    psi: jax.Array | None = parameter("unit", doc="(), or (K,) by true class: P(kept | incorrect)")
    keep: jax.Array | None = parameter("unit", doc="(K, K), P(kept | true class k, label l)")

    def init(self, key, task):
        return ()

    def chance(self, judge, data, model, correct) -> jax.Array:
        """P(kept) of each row, shape (N,)."""
        if self.keep is not None:
            return self.keep[data.truth, data.label]
        assert self.phi is not None and self.psi is not None
        phi, psi = (rate if rate.ndim == 0 else rate[data.truth] for rate in (self.phi, self.psi))
        return jnp.where(correct, phi, psi)

    def keep_table(self, classes: int) -> jax.Array:
        """P(kept | true class k, label l), shape (K, K)."""
        if self.keep is not None:
            return self.keep
        assert self.phi is not None and self.psi is not None
        phi, psi = (jnp.broadcast_to(rate, (classes,))[:, None] for rate in (self.phi, self.psi))
        return jnp.where(jnp.eye(classes, dtype=bool), phi, psi)

    def check_task(self, task) -> None:
        """Raise ValueError where this verifier cannot judge `task`, or could keep nothing."""
        rates = {name: getattr(self, name) for name in ("phi", "psi", "keep")}
        if (rates["keep"] is None) != (rates["phi"] is not None and rates["psi"] is not None):
            raise ValueError("give either phi and psi or keep")
        for name, rate in rates.items():
            if rate is not None and rate.ndim > 0:
                if task.kind != "classification":
                    raise ValueError(f"verifier.{name} must be one number for a {task.kind} task, got {rate}")
                check_shape(f"verifier.{name}", rate, (task.classes,) * (2 if name == "keep" else 1))
        _check_keeps(**rates)


def bernoulli(phi=None, psi=None, *, keep=None) -> Bernoulli:
    """The verifier whose errors are independent of the features (the verifier of R1).

    Give `phi` and `psi`, or `keep`:

    Args:
        phi: P(kept | correct) in [0, 1]; shape (K,) for one rate by true class.
        psi: P(kept | incorrect) in [0, 1]; shape (K,) for one rate by true class. Not both may be 0.
        keep: (K, K), P(kept | true class k, label l); classification only.

    Raises:
        ValueError: a rate outside [0, 1], phi = psi = 0, or not exactly one way to give the rates.
    """
    if (phi is None) != (psi is None) or (keep is None) == (phi is None):
        given = [name for name, rate in (("phi", phi), ("psi", psi), ("keep", keep)) if rate is not None]
        raise ValueError(f"give either phi and psi or keep, got {given or 'none'}")
    if keep is not None:
        check_value("verifier.keep", keep, "unit")
        if np.ndim(keep) != 2 or len(set(np.shape(keep))) != 1:
            raise ValueError(f"keep must have shape (K, K), got {np.shape(keep)}")
    rates = {"phi": phi, "psi": psi, "keep": keep}
    made = Bernoulli(**{n: None if rate is None else as_numbers(n, rate) for n, rate in rates.items()})
    check_fields(made, "verifier")
    _check_keeps(phi=made.phi, psi=made.psi, keep=made.keep)
    return made


def _check_keeps(phi, psi, keep):
    if keep is not None:
        if not np.any(np.asarray(keep) > 0):
            raise ValueError("verifier.keep must have a positive entry, or nothing is ever kept; got zeros")
    elif not (np.any(np.asarray(phi) > 0) or np.any(np.asarray(psi) > 0)):
        raise ValueError(
            f"verifier.phi and verifier.psi must not both be 0, or nothing is ever kept; got phi={phi}, psi={psi}"
        )
