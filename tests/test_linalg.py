import jax
import numpy as np
import pytest

from simcollapse.linalg import (
    BLOCK,
    cholesky,
    inverse_lower,
    least_norm,
    nuclear_norm,
    rank_factor,
    solve_positive,
)


def _systems(dim, count=5):
    random = np.random.default_rng(dim)
    rows = random.normal(size=(count, 3 * dim + 3, dim))
    return np.einsum("cni,cnj->cij", rows, rows), random.normal(size=(count, dim))


@pytest.mark.parametrize("dim", [1, 5, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_solution_agrees_with_lapack(dim):
    matrix, right = _systems(dim)
    solution, definite = jax.jit(jax.vmap(solve_positive))(matrix, right)
    assert np.all(definite)
    # 1e-10: float64 rounding times a condition number of about 1e2 for these matrices
    np.testing.assert_allclose(
        solution, np.linalg.solve(matrix, right[..., None])[..., 0], rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("dim", [2, BLOCK + 1])
def test_singular_system_is_refused_with_a_zero_solution(dim):
    matrix, right = _systems(dim, count=1)
    matrix[0, :, -1], matrix[0, -1, :] = matrix[0, :, 0], matrix[0, 0, :]
    matrix[0, -1, -1] = matrix[0, 0, 0]
    solution, definite = solve_positive(matrix[0], right[0])
    assert not definite
    np.testing.assert_array_equal(solution, 0)


def test_refusal_does_not_depend_on_scale():
    matrix, right = _systems(3, count=1)
    for scale in (1e-150, 1.0, 1e150):
        assert solve_positive(matrix[0] * scale, right[0])[1]


def test_diagonal_system():
    solution, definite = solve_positive(np.array([2.0, 4.0]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(solution, [0.5, 0.25])
    assert definite
    assert not solve_positive(np.array([2.0, 0.0]), np.array([1.0, 1.0]))[1]


@pytest.mark.parametrize("rank", [0, 1, 6])
def test_nuclear_norm_of_any_rank(rank):
    random = np.random.default_rng(rank)
    matrix = random.normal(size=(6, rank)) @ np.diag(10.0 ** -np.arange(rank)) @ random.normal(size=(rank, 6))
    expected = np.linalg.svd(matrix, compute_uv=False).sum()
    np.testing.assert_allclose(jax.jit(nuclear_norm)(matrix), expected, rtol=1e-13)
    with jax.enable_x64(False):
        np.testing.assert_allclose(nuclear_norm(matrix.astype(np.float32)), expected, rtol=3e-6)


@pytest.mark.parametrize(("dim", "rank"), [(5, 0), (5, 3), (5, 5), (BLOCK + 6, 20)])
def test_least_norm_solution_of_any_rank(dim, rank):
    random = np.random.default_rng(rank)
    rows = random.normal(size=(2 * rank, rank)) @ random.normal(size=(rank, dim))
    gram, right, start = rows.T @ rows, rows.T @ random.normal(size=2 * rank), random.normal(size=dim)
    lower = jax.jit(rank_factor)(gram)
    np.testing.assert_allclose(lower @ lower.T, gram, atol=1e-12 * max(1.0, np.abs(gram).max()))
    assert np.count_nonzero(np.abs(lower).sum(axis=0)) == rank
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    # 1e-9: rounding times the square of a condition number of about 1e2 for these matrices
    np.testing.assert_allclose(
        least_norm(gram, right, start), inverse @ (right + gram @ start), rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("dim", [1, 5, BLOCK, BLOCK + 1, 100])
def test_cholesky_and_inverses(dim):
    """In one block and in several, against LAPACK, and many at a time; a zero pivot leaves a column of zeros."""
    random = np.random.default_rng(dim)
    rows = random.normal(size=(4, 3 * dim, dim))
    matrices = np.einsum("cni,cnj->cij", rows, rows) / dim
    for matrix, many in zip(matrices, zip(*jax.jit(jax.vmap(cholesky))(matrices), strict=True), strict=True):
        for lower, inverse in (many, jax.jit(cholesky)(matrix)):
            np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), rtol=0, atol=1e-12)
            np.testing.assert_allclose(inverse @ lower, np.eye(dim), rtol=0, atol=1e-12)
            np.testing.assert_allclose(jax.jit(inverse_lower)(lower), inverse, rtol=0, atol=1e-11)
            assert (np.triu(lower, 1) == 0).all() and (np.triu(inverse, 1) == 0).all()

    at, matrix = dim // 2, matrices[0]
    matrix[at] = matrix[:, at] = 0
    lower = np.asarray(jax.jit(cholesky)(matrix)[0])
    np.testing.assert_allclose(lower @ lower.T, matrix, atol=1e-12)
    assert (lower[:, at] == 0).all() and (np.delete(np.diagonal(lower), at) > 0).all()


def test_cholesky_of_a_matrix_without_full_rank_spans_its_rank_alone():
    random = np.random.default_rng(0)
    for dim, rank in ((6, 3), (100, 9), (100, 60)):
        rows = random.normal(size=(rank, dim))
        lower = np.asarray(jax.jit(cholesky)(rows.T @ rows)[0])
        np.testing.assert_allclose(lower[:, :rank] @ lower[:, :rank].T, rows.T @ rows, atol=1e-9 * dim)


def test_least_norm_solutions_of_several_ranks_at_once():
    """The loop over pivots is one for all chains: each ends at its own rank, as it does alone."""
    random = np.random.default_rng(8)
    rows = random.normal(size=(4, 9, 7))
    for chain, rank in enumerate((7, 0, 2, 5)):
        rows[chain] = random.normal(size=(9, rank)) @ random.normal(size=(rank, 7))
    gram = np.einsum("cnd,cne->cde", rows, rows)
    right, start = np.einsum("cnd,cn->cd", rows, random.normal(size=(4, 9))), random.normal(size=(4, 7))
    lower = jax.jit(jax.vmap(rank_factor))(gram)
    np.testing.assert_array_equal(np.count_nonzero(np.abs(lower).sum(axis=1), axis=1), (7, 0, 2, 5))
    together = jax.jit(jax.vmap(least_norm))(gram, right, start)
    for chain in range(4):
        alone = least_norm(gram[chain], right[chain], start[chain])
        np.testing.assert_allclose(together[chain], alone, rtol=1e-9, atol=1e-11)
