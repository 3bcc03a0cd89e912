"""What is measured of the tasks that are refitted to their own samples: four tasks, three workflows, a grid of sizes.

There is no verifier, as in [Kazdan24] (arXiv 2410.16713v4), whose grid of dimensions and rows it is. The plain NumPy
loops over the same chains are in `generative_loops`.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

import simcollapse as sc

TASKS = ("gaussian", "kde", "discrete", "linear_regression")
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
DIMS, SIZES = (1, 3, 10, 31, 100), (10, 32, 100, 316, 1000)
BANDWIDTH = 0.5  # of the kernel, fixed: the standard deviation of a real coordinate is 1
TEST = 500  # held-out rows, as in the published runs
DENSEST = 0.4  # coefficients to rows of a regression: a subsample holds 63 % of the different rows
FEWEST = 31  # … and rows of several coefficients: fewer may leave a subsample without full rank
ROUNDS = (100, 20, 10)
MOST_WORK = 3e7  # numbers that the fits of one chain of the loop go through; more, and the chain is shorter …
MOST_DRAWN = 5e4  # … as for more numbers that a chain draws: the engine runs a thousand of them


@dataclasses.dataclass(frozen=True)
class GenerativeCase:
    """One task, workflow and size; N real rows, N rows a round. `length` sets K, else the work of a loop does."""

    task: str
    workflow: str
    dim: int  # D; of `discrete` the number of outcomes
    n: int  # N
    length: int | None = None

    @property
    def name(self) -> str:
        size = f"{'m' if self.task == 'discrete' else 'd'}={self.dim}, n={self.n}"
        return f"{self.task}, {self.workflow}, {size}"

    @property
    def rounds(self) -> int:
        """K: the longest of `ROUNDS` with which a run of the engine, or a chain of the loop, takes a second or two."""
        if self.length is not None:
            return self.length
        drawn = self.n * (self.dim if self.task == "gaussian" else 1)
        short = (k for k in ROUNDS if self._work(k) <= MOST_WORK and drawn * k <= MOST_DRAWN)
        return next(short, ROUNDS[-1])

    def _work(self, rounds: int) -> float:
        each = {"gaussian": self.dim, "kde": TEST, "discrete": 1, "linear_regression": self.dim}[self.task]
        if self.workflow != "accumulate" or self.task == "discrete":
            return self.n * each * rounds
        return self.n * each * rounds**2 / 2

    @property
    def engines(self) -> tuple[str, ...]:
        """Exact in law where the engine has the law, and every row drawn."""
        in_law = self.task != "kde" and (self.workflow != "accumulate_subsample" or self.task == "discrete")
        return ("law", "sample") if in_law else ("sample",)

    @property
    def truth(self) -> np.ndarray:
        """Coefficients of the regression, (D,), of length 1."""
        return np.full(self.dim, 1 / np.sqrt(self.dim))

    @property
    def rows(self) -> np.ndarray:
        """The regression's design, (N, D)."""
        return np.random.default_rng(1).standard_normal((self.n, self.dim))

    @property
    def held_out(self) -> np.ndarray:
        """Real rows for the likelihood of the density estimate, (TEST, D)."""
        return np.random.default_rng(2).standard_normal((TEST, self.dim))

    @functools.lru_cache(maxsize=8)  # noqa: B019 (a case is a small frozen value)
    def built(self) -> Any:
        """The task, built once: its checks are not what is timed."""
        if self.task == "gaussian":
            return sc.gaussian(self.dim)
        if self.task == "kde":
            return sc.kde(self.dim, bandwidth=BANDWIDTH, test=self.held_out)
        if self.task == "discrete":
            return sc.discrete(outcomes=self.dim)
        return sc.linear_regression(self.truth, noise=1.0, design="fixed", rows=self.rows)

    def simulate(self, chains: int, *, seed: int = 0, engine: str = "sample", **options: Any):
        """The program under test, through its public door. Every chain must survive.

        Raises:
            RuntimeError: a chain froze, so that the run did less work than it seems.
        """
        result = sc.simulate(
            self.built(),
            sc.none(),
            self.workflow,
            n_real=self.n,
            n_per_round=self.n,
            rounds=self.rounds,
            chains=chains,
            seed=seed,
            engine=engine,
            audit=False,  # the plain loops do not tell correct rows either
            progress=False,
            **options,
        )
        if not result["alive"].values.all():
            raise RuntimeError(f"a chain froze in the case {self.name}")
        return result


def grid(
    tasks: tuple[str, ...] = TASKS,
    workflows: tuple[str, ...] = WORKFLOWS,
    dims: tuple[int, ...] = DIMS,
    sizes: tuple[int, ...] = SIZES,
) -> tuple[list[GenerativeCase], list[dict[str, str]]]:
    """Cases of all sizes, those with a compiled program in common side by side, and those left out with the reason."""
    made, skipped = [], []
    for task in tasks:
        for dim in dims:
            reason = "one outcome is no distribution" if task == "discrete" and dim < 2 else ""
            if reason:
                skipped.append({"case": f"discrete, m={dim}", "reason": reason})
                continue
            for n in sizes:
                if task == "linear_regression" and (dim > DENSEST * n or (dim > 1 and n < FEWEST)):
                    reason = "too few rows: a subsample of them may not determine the coefficients"
                    skipped.append({"case": f"{task}, d={dim}, n={n}", "reason": reason})
                else:
                    made += [GenerativeCase(task, workflow, dim, n) for workflow in workflows]
    return sorted(made, key=lambda c: (TASKS.index(c.task), WORKFLOWS.index(c.workflow))), skipped
