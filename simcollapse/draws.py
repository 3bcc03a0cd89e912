"""Draws from the gamma, chi-square, binomial, hypergeometric and Wishart laws, many at a time, by rejection.

`jax.random.gamma` and `jax.random.binomial` run a loop with keys of its own for every number: about 1000 and 500 ns
each on a CPU core. Here the whole array is proposed at once until the last entry is accepted.
"""

import math

import jax
import jax.numpy as jnp

from simcollapse import keys, randoms
from simcollapse.batching import chains_last

LARGEST_COUNT = {4: 2**24, 8: 2**31}  # of a binomial by bytes of the float: counts up to here are exact

_APART = 5  # steps of a multinomial from which on two loops are worth compiling
_TABLED = 10  # factorials below this one's are looked up
_SEARCHED = 10.0  # expected successes below which the inverse cdf is searched


def chi_square(key: jax.Array, freedom: jax.Array, present: jax.Array | None = None) -> jax.Array:
    """Chi-square draws with `freedom` >= 2 degrees of freedom each; `present` as in `keys.stored`."""
    return 2 * gamma(key, freedom / 2, present)


def gamma(key: jax.Array, shape: jax.Array, present: jax.Array | None = None) -> jax.Array:
    """Gamma draws of scale 1 with these shape parameters, all >= 1; `present` as in `keys.stored`.

    d v, d = shape - 1/3, v = (1 + x / sqrt(9 d))^3 with x normal, accepted with probability
    min(1, exp(x^2/2 + d - d v + d log v)). Source: Marsaglia and Tsang 2000, ACM Trans. Math. Softw. 26.
    """
    return _gamma(randoms.stream(key, shape.shape, present), shape)


def _gamma(source, shape):
    d = shape - 1 / 3
    scale = 1 / jnp.sqrt(9 * d)

    def unfinished(carry):
        return jnp.any(carry[1] == 0)

    def propose(carry):
        number, value = carry
        x, toss = randoms.normal_and_uniform(source, number)
        toss = 1 - toss  # in (0, 1]
        v = (1 + scale * x) ** 3
        safe = jnp.where(v > 0, v, 1.0)
        log_chance = 0.5 * x**2 + d * (1 - safe + jnp.log(safe))
        # the squeeze decides nearly always, and is exact where the logarithm would cancel
        accepted = (v > 0) & ((toss < 1 - 0.0331 * x**4) | (jnp.log(toss) <= log_chance))
        return number + 1, jnp.where((value == 0) & accepted, d * safe, value)

    # 0: not accepted yet. One array, for XLA's loops for CPU compute a proposal anew for every result
    return jax.lax.while_loop(unfinished, propose, (jnp.int32(0), jnp.zeros_like(shape)))[1]


def binomial(key: jax.Array, count: jax.Array, chance: jax.Array) -> jax.Array:
    """Successes of `count` trials (whole numbers in a float array) of probability `chance` each; same float type.

    Exact to rounding for counts up to LARGEST_COUNT. Below 10 expected successes (or failures) the inverse cdf is
    searched; else transformed rejection. Source: Hörmann 1993, J. Stat. Comput. Simul. 46 (algorithm BTRS); the
    probabilities in the saddle-point form of Loader 2000, which does not cancel at large counts.
    """
    count, chance = jnp.broadcast_arrays(count, chance)
    mirrored = chance > 0.5
    p = jnp.where(mirrored, 1 - chance, chance)
    searched = count * p < _SEARCHED
    source = randoms.stream(key, p.shape)
    few = _search(source, jnp.where(searched, count, 0.0), p)
    many = _reject(source, jnp.where(searched, 100.0, count), jnp.where(searched, 0.5, p), searched)
    successes = jnp.where(searched, few, many)
    return jnp.where(mirrored, count - successes, successes)


def hypergeometric(key: jax.Array, good: jax.Array, bad: jax.Array, drawn: jax.Array) -> jax.Array:
    """Good ones among `drawn` <= good + bad, drawn without replacement; whole numbers in float arrays, as the result.

    Exact to rounding for good + bad up to LARGEST_COUNT. Below 10 expected ones the inverse cdf is searched; else a
    ratio of uniforms. Source: Stadlober 1989, Ratio of uniforms as a convenient method for sampling from classical
    discrete distributions (algorithm HRU); probabilities as those of two binomials over a third, by Loader 2000.
    """
    good, bad, drawn = jnp.broadcast_arrays(good, bad, drawn)
    total = good + bad
    rare, few = jnp.minimum(good, bad), jnp.minimum(drawn, total - drawn)
    searched = rare * (few / jnp.maximum(total, 1.0)) < _SEARCHED
    source = randoms.stream(key, total.shape)
    found = jnp.where(
        searched,
        _search_hypergeometric(source, jnp.where(searched, rare, 0.0), total, few),
        _reject_hypergeometric(
            source,
            *(jnp.where(searched, spare, x) for x, spare in ((rare, 100.0), (total, 400.0), (few, 100.0))),
            searched,
        ),
    )
    found = jnp.where(good > bad, few - found, found)
    return jnp.where(drawn > total - drawn, good - found, found)


def multinomial(key: jax.Array, count: jax.Array, chances: jax.Array) -> jax.Array:
    """Counts (M,) of `count` draws (a whole number in a float) of M outcomes with these probabilities.

    Halves are split into halves, by a binomial each, until single outcomes are left: log2(M) steps. Exact as
    `binomial` is; an outcome of probability zero is never drawn. `chances` need not sum to 1 to the last digit.
    """

    def halve(key, number, left, right):
        both = left + right
        return binomial(key, number, jnp.clip(left / jnp.where(both > 0, both, 1.0), 0, 1))

    return _halved(key, count, chances, halve)


def multivariate_hypergeometric(key: jax.Array, count: jax.Array, there: jax.Array) -> jax.Array:
    """Counts (M,) of `count` draws without replacement from `there` (M,) of each kind; whole numbers in floats.

    As `multinomial`, with a hypergeometric draw for each half; `count` is at most the sum of `there`.
    """

    def halve(key, number, left, right):
        return hypergeometric(key, left, right, number)

    return _halved(key, count, there, halve)


def _halved(key, count, mass, halve):
    """`count` spread over the M places of `mass`; `halve(key, number, left, right)` gives the part of the left half."""
    outcomes = mass.shape[0]
    depth = max(1, (outcomes - 1).bit_length())
    mass = jnp.pad(mass, (0, 2**depth - outcomes))
    counts = count.astype(mass.dtype).reshape(1)
    # the last two steps have most nodes, and a width of their own
    early = depth - 2 if depth >= _APART else 0
    for begin, end in ((0, early), (early, depth)):
        if end > begin:
            counts = _split(key, counts, mass, begin, end, halve)
    return counts[:outcomes]


def _split(key, counts, mass, begin, end, halve):
    """Counts of the 2^end nodes after step `end`, from those of the 2^begin ones before step `begin`."""
    width = 2 ** (end - 1)
    masses = []  # of the left and right half of each node, for every step, padded to the widest
    for level in range(begin, end):
        halves = mass.reshape(2 ** (level + 1), -1).sum(axis=1).reshape(-1, 2)
        masses.append(jnp.pad(halves, ((0, width - len(halves)), (0, 0))))

    def split(left, step):
        level, halves = step
        taken = halve(jax.random.fold_in(key, level), left[:width], halves[:, 0], halves[:, 1])
        return jnp.stack([taken, left[:width] - taken], axis=1).ravel(), None

    start = jnp.pad(counts, (0, 2 * width - counts.shape[0]))
    steps = (jnp.arange(begin, end, dtype=jnp.int32), jnp.stack(masses))
    return jax.lax.scan(split, start, steps)[0]


@chains_last
def _search(source, count, p):
    """The smallest k with cdf(k) > a uniform; nothing is drawn where every count is 0."""
    return jax.lax.cond(
        jnp.any(count > 0), _searched, lambda _, count, p: jnp.zeros_like(p), source, count, p
    )


def _searched(source, count, p):
    toss, _ = randoms.two_uniforms(source, jnp.int32(0))
    odds = p / (1 - p)

    def unfinished(carry):
        k, left, mass = carry
        return jnp.any((left >= mass) & (k < count))

    def advance(carry):
        k, left, mass = carry
        more = (left >= mass) & (k < count)
        ahead = mass * odds * (count - k) / (k + 1)
        return jnp.where(more, k + 1, k), jnp.where(more, left - mass, left), jnp.where(more, ahead, mass)

    none = jnp.exp(count * jnp.log1p(-p))
    return jax.lax.while_loop(unfinished, advance, (jnp.zeros_like(p), toss, none))[0]


@chains_last
def _reject(source, count, p, done):
    q = 1 - p
    mean = count * p
    sd = jnp.sqrt(mean * q)
    b = 1.15 + 2.53 * sd
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * sd
    squeeze = 0.92 - 4.2 / b
    mode = jnp.floor((count + 1) * p)
    top = _log_mass(mode, count, p)

    def unfinished(carry):
        return jnp.any(carry[1] < 0)

    def propose(carry):
        number, value = carry
        u, v = randoms.two_uniforms(source, number)
        u, v = u - 0.5, 1 - v
        us = 0.5 - jnp.abs(u)
        k = jnp.floor((2 * a / jnp.where(us > 0, us, 1.0) + b) * u + mean + 0.5)
        inside = (us > 0) & (k >= 0) & (k <= count)
        at = jnp.where(inside, k, mode)
        height = jnp.log(v * alpha / (a / jnp.maximum(us, 1e-30) ** 2 + b))
        accepted = inside & (((us >= 0.07) & (v <= squeeze)) | (height <= _log_mass(at, count, p) - top))
        return number + 1, jnp.where((value < 0) & accepted, at, value)

    start = jnp.where(done, 0.0, jnp.full_like(p, -1.0))  # -1: not accepted yet; one array, as in `_gamma`
    return jax.lax.while_loop(unfinished, propose, (jnp.int32(1), start))[1]


@chains_last
def _search_hypergeometric(source, rare, total, drawn):
    """As `_search`, of the rare ones among `drawn`, both at most half of `total`."""
    toss, _ = randoms.two_uniforms(source, jnp.int32(0))
    others = total - rare
    most = jnp.minimum(rare, drawn)

    def unfinished(carry):
        k, left, mass = carry
        return jnp.any((left >= mass) & (k < most))

    def advance(carry):
        k, left, mass = carry
        more = (left >= mass) & (k < most)
        ahead = mass * (rare - k) * (drawn - k) / ((k + 1) * (others - drawn + k + 1))
        return jnp.where(more, k + 1, k), jnp.where(more, left - mass, left), jnp.where(more, ahead, mass)

    none = _none_drawn(rare, total, drawn)
    return jax.lax.while_loop(unfinished, advance, (jnp.zeros_like(total), toss, none))[0]


def _none_drawn(rare, total, drawn):
    """P(none of the rare ones among `drawn`) = (total - rare)! (total - drawn)! / ((total - rare - drawn)! total!)."""
    certain = (rare == 0) | (drawn == 0)
    rare, total, drawn = (
        jnp.where(certain, spare, x) for x, spare in ((rare, 1.0), (total, 4.0), (drawn, 1.0))
    )
    others, p = total - rare, drawn / total
    kept = others - drawn
    factorials = _exact_stirling(others) + _exact_stirling(total - drawn) - _exact_stirling(total)
    deviances = rare * p + _deviance(rare, rare * (1 - p))
    deviances = deviances + _deviance(drawn, others * p) + _deviance(kept, others * (1 - p))
    return jnp.where(certain, 1.0, jnp.exp(factorials - _exact_stirling(kept) - deviances))


@chains_last
def _reject_hypergeometric(source, rare, total, drawn, done):
    share = rare / total
    mean = drawn * share
    spread = jnp.sqrt((total - drawn) * mean * (1 - share) / (total - 1) + 0.5)
    height = 2 * math.sqrt(2 / math.e) * spread + 3 - 2 * math.sqrt(3 / math.e)
    mode = jnp.floor((drawn + 1) * ((rare + 1) / (total + 2)))
    top = _log_mass_hypergeometric(mode, rare, total, drawn)

    def unfinished(carry):
        return jnp.any(carry[1] < 0)

    def propose(carry):
        number, value = carry
        u, v = randoms.two_uniforms(source, number)
        u = 1 - u  # in (0, 1]
        k = jnp.floor(mean + 0.5 + height * (v - 0.5) / u)
        inside = (k >= 0) & (k <= jnp.minimum(rare, drawn))
        at = jnp.where(inside, k, mode)
        accepted = inside & (2 * jnp.log(u) <= _log_mass_hypergeometric(at, rare, total, drawn) - top)
        return number + 1, jnp.where((value < 0) & accepted, at, value)

    start = jnp.where(done, 0.0, jnp.full_like(rare, -1.0))
    return jax.lax.while_loop(unfinished, propose, (jnp.int32(1), start))[1]


def _log_mass_hypergeometric(k, rare, total, drawn):
    """log P(k rare ones among `drawn`), less a constant that depends on the three sizes alone.

    P is a ratio of binomial probabilities, in which their p cancels: any will do, and drawn / total keeps digits.
    """
    p = drawn / jnp.maximum(total, 1.0)
    p = jnp.where(drawn > 0, p, 0.5)
    return _log_mass(k, rare, p) + _log_mass(drawn - k, total - rare, p)


def _log_mass(k, count, p):
    """log P(k), less a constant that depends on the count alone."""
    rest = count - k
    return -(_stirling(k) + _stirling(rest) + _deviance(k, count * p) + _deviance(rest, count * (1 - p)))


def _stirling(k):
    """log k! - (k log k - k), by the continued fraction of Binet's function; off by 4e-5 at k = 1, 1e-9 at 10."""
    positive = jnp.maximum(k, 1.0)
    fraction = (53 / 210) / (positive + (195 / 371) / positive)
    fraction = (1 / 12) / (positive + (1 / 30) / (positive + fraction))
    return jnp.where(k > 0, 0.5 * jnp.log(2 * jnp.pi * positive) + fraction, 0.0)


def _exact_stirling(k):
    """The same, from a table for small k."""
    exact = [math.lgamma(i + 1) - (i * math.log(i) - i if i else 0.0) for i in range(_TABLED)]
    small = jnp.asarray(exact, k.dtype)[jnp.minimum(k, _TABLED - 1).astype(jnp.int32)]
    return jnp.where(k < _TABLED, small, _stirling(k))


def _deviance(k, mean):
    """k log(k / mean) - k + mean, with its digits where k is near the mean."""
    gap = (k - mean) / mean
    near = jnp.abs(gap) < 0.1
    small = jnp.where(near, gap, 0.0)
    series = jnp.zeros_like(small)
    most = 14 if k.dtype.itemsize == 8 else 8  # 0.1^most is below the rounding error
    for j in range(most, 1, -1):  # sum of (-gap)^j / (j (j - 1))
        series = 1 / (j * (j - 1)) - small * series
    ratio = jnp.where(near, 1.0, k / mean)
    plain = jnp.where(ratio > 0, ratio * jnp.log(jnp.where(ratio > 0, ratio, 1.0)), 0.0) - ratio + 1
    return mean * jnp.where(near, small**2 * series, plain)


def wishart_factor(key: jax.Array, freedom: jax.Array, dim: int, present: jax.Array) -> jax.Array:
    """Lower triangular A, (dim, dim), with A A' ~ Wishart_dim(freedom, I), for any whole `freedom` >= 0.

    `present` as in `keys.stored`.
    """
    key_diagonal, key_below = keys.split(key, 2, present)
    # drawn in one dimension: with two short ones XLA's loops for CPU are four times slower
    normals = randoms.normal(key_below, (bartlett_normals(dim),), present)
    return bartlett(key_diagonal, freedom, dim, normals, present)


def bartlett_normals(dim: int) -> int:
    """Standard normals that `bartlett` needs."""
    return dim * (dim // 2) + 1


def bartlett(
    key: jax.Array, freedom: jax.Array, dim: int, normals: jax.Array, present: jax.Array | None = None
) -> jax.Array:
    """The factor of `wishart_factor`, made with `bartlett_normals(dim)` standard normals of the caller.

    Chi on the diagonal with freedom, freedom - 1, … degrees, normals below it; with fewer degrees than dimensions the
    later columns are zero. Source: Bartlett 1933.
    """
    left = freedom - jnp.arange(dim, dtype=float)
    chi = jnp.sqrt(chi_square(key, jnp.maximum(left, 2.0), present))
    chi = jnp.where(left >= 2, chi, jnp.abs(normals[-1]))  # one degree, in one column at most
    return _lower(normals[:-1].reshape(dim // 2, dim), chi, left)


@chains_last
def _lower(table, chi, left):
    """The factor from the numbers below its diagonal: row i and row D - i have D of them, so together fill a row.

    The lower half of the factor reads the table's rows as they are, the upper half reads them turned around.
    """
    dim = len(chi)
    turned = jnp.flip(table, (0, 1))[: (dim - 1) // 2]
    below = jnp.concatenate([jnp.zeros((1, *table.shape[1:])), turned, table])
    shape = (dim, dim) + (1,) * (chi.ndim - 1)
    row, column = jax.lax.broadcasted_iota(jnp.int32, shape, 0), jax.lax.broadcasted_iota(jnp.int32, shape, 1)
    lower = jnp.where(row > column, below, jnp.where(row == column, chi[None], 0.0))
    return jnp.where(left[None] > 0, lower, 0.0)
