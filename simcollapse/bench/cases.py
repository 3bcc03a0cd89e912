"""What is measured: retrained linear regression of given size, with or without the ball verifier."""

import dataclasses
import functools
import itertools

import numpy as np

import simcollapse as sc

BIAS = 0.2  # |truth - center|: not zero, so that a program that mistook one for the other would show
RADIUS_ROOT_DIM, SLACK = (
    0.4,
    0.3,
)  # radius sqrt(D) and slack: about half of the rows are accepted in every case
HEAVY = 10**4  # entries of a round's design matrix from which chains are short
ROUNDS, HEAVY_ROUNDS = 20, 5


@dataclasses.dataclass(frozen=True)
class Case:
    """One size of one design; the noise sd is 1, every round has N rows, the workflow is `replace`."""

    design: str  # "gaussian" or "fixed"
    dim: int  # D
    n: int  # N, rows generated in each round, and real rows of round 0
    verified: bool = True

    uniforms = 0  # a round tosses no coins
    metric = "squared_error"  # of which `chains_for_error` is told

    @property
    def rounds(self) -> int:
        """K; a chain has K + 1 rounds, since round 0 draws and fits as well."""
        return HEAVY_ROUNDS if self.n * self.dim >= HEAVY else ROUNDS

    @property
    def name(self) -> str:
        return f"{self.design}, d={self.dim}, n={self.n}"

    @property
    def truth(self) -> np.ndarray:
        """(D,), of length 1."""
        return np.full(self.dim, 1 / np.sqrt(self.dim))

    @property
    def center(self) -> np.ndarray:
        """(D,), what the verifier believes in."""
        return self.truth * (1 + BIAS)

    @property
    def radius(self) -> float:
        return RADIUS_ROOT_DIM / np.sqrt(self.dim)

    @property
    def slack(self) -> float:
        return SLACK

    @property
    def rows(self) -> np.ndarray:
        """(N, D), the rows of the fixed design."""
        return np.random.default_rng(1).standard_normal((self.n, self.dim))

    @property
    def normals(self) -> int:
        """Random normals that a sample-level round needs: the noise, and the covariates where they are drawn."""
        return self.n * (1 + self.dim * (self.design == "gaussian"))

    @functools.lru_cache(maxsize=4)  # noqa: B019 (a case is a small frozen value)
    def task(self):
        """The task, built once: its checks are not what is timed."""
        rows = self.rows if self.design == "fixed" else None
        return sc.linear_regression(self.truth, noise=1.0, design=self.design, rows=rows)

    def verifier(self):
        """The ball verifier, or none."""
        if not self.verified:
            return sc.none()
        return sc.knowledge_ball(self.center, radius=self.radius, slack=self.slack)

    def simulate(self, chains: int, *, seed: int = 0, engine: str = "sample", **options):
        """The program under test, through its public door. Every chain must survive.

        Raises:
            RuntimeError: a chain froze, so that the run did less work than it seems.
        """
        result = sc.simulate(
            self.task(),
            self.verifier(),
            sc.replace(),
            n_real=self.n,
            n_per_round=self.n,
            rounds=self.rounds,
            chains=chains,
            seed=seed,
            engine=engine,
            progress=False,
            **options,
        )
        if not result["alive"].values.all():
            raise RuntimeError(
                f"a chain froze in the case {self.name}: the benchmark's verifier is too strict"
            )
        return result


def grid(dims, ns, verified: bool, designs) -> tuple[list[Case], list[dict[str, str]]]:
    """Cases of all sizes, and those left out with the reason."""
    cases, skipped = [], []
    for design, dim, n in itertools.product(designs, dims, ns):
        case = Case(design, dim, n, verified)
        if n < dim + 1:
            reason = f"least squares on {dim} coefficients needs n >= d + 1 = {dim + 1} rows"
            skipped.append({"case": case.name, "reason": reason})
        else:
            cases.append(case)
    return cases, skipped
