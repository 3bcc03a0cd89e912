"""Linear classifiers fitted to labelled rows: ridge least squares, averaging, and ridge-logistic regression.

With simplex codes s of the labels (see `rules`), C = K - 1 code dimensions, features x with a last entry 1 if there
is an intercept (which no penalty touches), and lambda the penalty, the objectives are
    ridge       (1/n) sum |s - coef' x|^2 + lambda |coef|^2
    averaging   coef = (1/n) sum x s', the limit of ridge for lambda = inf, times lambda
    logistic    (1/n) sum l + (lambda/2) |coef|^2, l = log sum_k exp(a_k) - a_label, a_k = (K-1)/K s_k.(coef' x);
                for two classes l = log(1 + exp(-y x.coef))
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from simcollapse import chain
from simcollapse.linalg import products, solve_positive
from simcollapse.tasks.rules import Rule, sign, vertices

KNOWN = ("ridge", "averaging", "logistic")
MOST_STEPS = 100  # of Newton's method, rejected ones included; 5 to 10 are usual


class Sums(NamedTuple):
    """Additive statistics of a pool: all that least squares needs, whatever the number of rows.

    D' = D, or D + 1 with an intercept; with two classes the axis of the C codes is left out.
    """

    gram: jax.Array | None  # sum of x x', (D', D'); None for averaging
    cross: jax.Array  # sum of x s', (D', C)
    count: jax.Array  # (), rows


class Kept(NamedTuple):
    """What a buffer keeps of rows."""

    x: jax.Array  # (N, D)
    label: jax.Array  # (N,), int32


def empty_sums(dim: int, classes: int, intercept: bool, gram: bool) -> Sums:
    """Sums of no rows."""
    size = dim + intercept
    cross = jnp.zeros(size if classes == 2 else (size, classes - 1))
    return Sums(jnp.zeros((size, size)) if gram else None, cross, jnp.zeros(()))


def add_to_sums(pool: Sums, code, label, weight, classes: int, intercept: bool) -> Sums:
    """`pool` with rows added: features as columns of `code` (D, N), labels (N,), weights (N,)."""
    if intercept:
        code = jnp.concatenate([code, jnp.ones_like(code[:1])])
    if classes == 2:
        response = sign(label, code.dtype)[None]
    else:
        response = jnp.asarray(vertices(classes), code.dtype)[:, label]
    if pool.gram is None:
        gram, cross = None, code @ (response * weight[None]).T
    else:
        gram, cross = products(code, response, weight)
        gram = pool.gram + gram
    return Sums(
        gram=gram,
        cross=pool.cross + (cross[:, 0] if classes == 2 else cross),
        count=pool.count + jnp.sum(weight),
    )


def least_squares(pool: Sums, penalty, intercept: bool) -> tuple[Rule, jax.Array]:
    """The ridge rule and why it failed (0: it did not), for a penalty in [0, inf]; zeros where it failed.

    Solved as [(1-a) gram/n + a I] v = cross/n, a = lambda/(1+lambda), coef = (1-a) v, which has lambda = inf in it;
    there the coefficients would be zero and v is returned.
    """
    count = jnp.maximum(pool.count, 1.0)
    infinite = jnp.isinf(penalty)
    rest = 1 / (1 + penalty)  # 1 - a
    share = jnp.where(infinite, 1.0, penalty * rest)
    size = pool.cross.shape[0]
    ridge = jnp.full(size, share)
    needed = jnp.where(penalty > 0, 1, size)
    if intercept:
        ridge = ridge.at[-1].set(0.0)
        needed = jnp.maximum(needed, 2)
    value, definite = solve_positive(rest * pool.gram / count + jnp.diag(ridge), pool.cross / count)
    reason = jnp.where(definite, chain.ALIVE, chain.RANK_DEFICIENT)
    reason = jnp.where(pool.count < needed, chain.TOO_FEW, reason).astype(jnp.int32)
    return _rule(
        jnp.where(reason == chain.ALIVE, value * jnp.where(infinite, 1.0, rest), 0), intercept
    ), reason


def averaging(pool: Sums) -> tuple[Rule, jax.Array]:
    """The mean of x s', and why it failed (0: it did not)."""
    reason = jnp.where(pool.count < 1, chain.TOO_FEW, chain.ALIVE).astype(jnp.int32)
    return _rule(pool.cross / jnp.maximum(pool.count, 1.0), False), reason


def _rule(value, intercept):
    """The rule of the solution `value`, (D',) or (D', C)."""
    if intercept:
        return Rule(value[:-1], value[-1])
    return Rule(value, jnp.zeros(value.shape[1:], value.dtype))


class _Newton(NamedTuple):
    coef: jax.Array  # (C, D')
    value: jax.Array  # objective at `coef`
    slope: jax.Array  # of the objective along `step`
    step: jax.Array  # (C, D'), full Newton step from `coef`
    length: jax.Array  # share of the step to try next
    tried: jax.Array  # steps tried so far
    done: jax.Array


def logistic(rows: Kept, weight, penalty, classes: int, intercept: bool) -> tuple[Rule, jax.Array]:
    """The ridge-logistic rule and why it failed (0: it did not), for a positive penalty and weights (M,) of the rows.

    Newton's method from zero; a step that does not lower the objective enough is halved (Armijo). Ends where the
    full step is below sqrt(eps) of the coefficients, and takes it: quadratic convergence leaves an error of eps.
    """
    capacity, dim = rows.x.shape
    x = jnp.concatenate([rows.x, jnp.ones((capacity, 1))], axis=1) if intercept else rows.x
    total = jnp.sum(weight)
    weight = weight / jnp.where(total > 0, total, 1.0)
    shape = (classes - 1, dim + intercept)
    ridge = penalty * jnp.ones(shape)
    if intercept:
        ridge = ridge.at[:, -1].set(0.0)
    eps = jnp.finfo(x.dtype).eps

    def objective(coef):
        """Value, gradient and Newton step."""
        loss, first, second = _losses(x @ coef.T, rows.label, classes)
        value = jnp.dot(weight, loss) + jnp.sum(ridge * coef**2) / 2
        gradient = (weight[:, None] * first).T @ x + ridge * coef
        curved = weight[:, None, None] * second  # (M, C, C)
        pairs = [[x.T @ (curved[:, c, e, None] * x) for e in range(shape[0])] for c in range(shape[0])]
        hessian = jnp.block(pairs) + jnp.diag(ridge.ravel())
        step, _ = solve_positive(hessian, -gradient.ravel())
        return value, gradient, step.reshape(shape)

    def state(coef, tried):
        value, gradient, step = objective(coef)
        small = jnp.sum(step**2) <= eps * jnp.sum(coef**2)
        flat = jnp.sum(gradient**2) <= eps**2  # at a minimum of zero
        return _Newton(coef, value, jnp.vdot(gradient, step), step, jnp.ones(()), tried, small | flat)

    def unfinished(now):
        return ~now.done & (now.tried < MOST_STEPS)

    def advance(now):
        ahead = state(now.coef + now.length * now.step, now.tried + 1)
        slack = 4 * eps * jnp.abs(now.value)  # rounding of the objective itself
        better = ahead.value <= now.value + 1e-4 * now.length * now.slope + slack
        halved = now._replace(length=now.length / 2, tried=now.tried + 1)
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), ahead, halved)

    last = jax.lax.while_loop(unfinished, advance, state(jnp.zeros(shape), jnp.int32(0)))
    coef = (last.coef + last.step).T
    reason = jnp.where(last.done, chain.ALIVE, chain.NOT_CONVERGED)
    reason = jnp.where(total > 0, reason, chain.TOO_FEW).astype(jnp.int32)
    return _rule(coef[:, 0] if classes == 2 else coef, intercept), reason


def _losses(score, label, classes):
    """Loss of each row, its gradient (M, C) and its Hessian (M, C, C) in the row's scores (M, C)."""
    if classes == 2:
        side = sign(label, score.dtype)
        wrong = jax.nn.sigmoid(-side * score[:, 0])
        loss = jax.nn.softplus(-side * score[:, 0])
        return loss, (-side * wrong)[:, None], (wrong * (1 - wrong))[:, None, None]
    code = jnp.asarray(vertices(classes) * (classes - 1) / classes, score.dtype)  # (C, K)
    logits = score @ code
    chance = jax.nn.softmax(logits, axis=1)
    own = label[:, None] == jnp.arange(classes, dtype=jnp.int32)[None]
    loss = jax.nn.logsumexp(logits, axis=1) - jnp.sum(jnp.where(own, logits, 0.0), axis=1)
    first = (chance - own.astype(score.dtype)) @ code.T
    mean = chance @ code.T
    second = jnp.einsum("ck,nk,ek->nce", code, chance, code) - mean[:, :, None] * mean[:, None]
    return loss, first, second
