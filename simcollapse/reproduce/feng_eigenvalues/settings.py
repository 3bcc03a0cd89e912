"""What is run: problem, model, arms, budget and seeds, by scale. Fixed before a run; needs no extra."""

import dataclasses

WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")


@dataclasses.dataclass(frozen=True)
class ProblemSettings:
    """Fields as of `simcollapse.neural.eigen.matrices.problem` and `numbers.encoding`."""

    size: int
    encoding: str = "P1000"
    digits: int = 3
    lowest: int = -7
    highest: int = 2
    entries: str = "uniform"
    scale: float = 10.0
    tolerance: float = 0.01  # Source: [Feng24], section 6.1 (v2)
    norm: str = "each"


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Fields as of `simcollapse.neural.eigen.models.sizes`."""

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    precision: str = "float32"


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a model trains; fields as of `training.training` and `eigen.task.optimizer`."""

    max_steps: int  # batches at most
    warmup: int
    learning_rate: float
    batch: int = 128
    check_every: int = 100
    patience: int = 5
    held_out: float = 0.05
    accumulation: int = 1


@dataclasses.dataclass(frozen=True)
class ArmSettings:
    """One way of retraining: a noisy oracle, how much it keeps, and what is done with it."""

    p_star: float  # of the noisy oracle; 1/2 keeps everything
    amount: int  # rows kept in round 1, on average
    workflow: str = "replace"
    rounds: int = 1

    @property
    def name(self) -> str:
        """As folders and tables call it."""
        more = "" if self.rounds == 1 else f"-{self.workflow}-{self.rounds}"
        return f"{self.p_star:g}-{self.amount}{more}"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run."""

    problem: ProblemSettings
    model: ModelSettings
    fit: Fit
    n_real: int  # examples that the generator learns from
    arms: tuple[ArmSettings, ...]
    chains: int  # independent seeds
    held_out: int  # matrices of a model's accuracy
    beam: int  # width of the beam of Table 1
    beam_matrices: int
    audited: int  # answers on which other verifiers are measured
    share: float = 0.25  # of them, kept by perplexity
    seed: int = 0
    folder: str = ""  # where rounds are saved; empty: nowhere

    @property
    def rounds(self) -> int:
        """Most rounds of an arm."""
        return max(arm.rounds for arm in self.arms)

    @property
    def fits(self) -> int:
        """Fits over all chains: the generator, another model that agrees or not, and every round of every arm."""
        return self.chains * (2 + sum(arm.rounds for arm in self.arms))

    @property
    def budget(self) -> int:
        """Optimiser steps at most."""
        return self.fits * self.fit.max_steps


def _arms(
    amounts: tuple[int, ...],
    p_stars: tuple[float, ...],
    followed: tuple[float, ...],
    several: tuple[int, int],
) -> tuple[ArmSettings, ...]:
    """Every p* at the largest amount, some at all amounts; oracle and none for several rounds (amount, rounds).

    The first round of such an arm with `replace` is that of an arm of one round, which is then left out.
    """
    amount, rounds = several
    grid = [
        ArmSettings(p_star, n)
        for p_star in p_stars
        for n in amounts
        if (n == amounts[-1] or p_star in followed)
        and not (rounds > 1 and n == amount and p_star in (0.5, 1.0))
    ]
    loops = [ArmSettings(p_star, amount, workflow, rounds) for workflow in WORKFLOWS for p_star in (0.5, 1.0)]
    return (*grid, *(loops if rounds > 1 else []))


_QUICK = Config(
    problem=ProblemSettings(size=2, digits=2, lowest=-3, highest=0, tolerance=0.05, norm="l1"),
    model=ModelSettings(width=64, heads=4, encoder_layers=1, decoder_layers=1),
    fit=Fit(max_steps=1_000, warmup=50, learning_rate=2e-3, batch=64),
    n_real=4_000,
    arms=_arms((4_000, 16_000), (0.5, 0.6, 0.7, 0.85, 1.0), (0.5, 1.0), (4_000, 2)),
    chains=5,
    held_out=1_000,
    beam=50,
    beam_matrices=300,
    audited=2_000,
)
# Hours of one accelerator.
_SMALL = Config(
    problem=ProblemSettings(size=3, tolerance=0.02),
    model=ModelSettings(width=256, heads=8, encoder_layers=3, decoder_layers=2, precision="bfloat16"),
    fit=Fit(max_steps=60_000, warmup=2_000, learning_rate=5e-4, batch=256, check_every=1_000, patience=10),
    n_real=50_000,
    arms=_arms(
        (50_000, 250_000, 1_000_000),
        (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0),
        (0.5, 0.65, 0.8, 1.0),
        (250_000, 3),
    ),
    chains=5,
    held_out=10_000,
    beam=50,
    beam_matrices=2_000,
    audited=50_000,
)
# As published: 5 x 5, 200,000 examples, 10 million computed ones at last. The depth is not stated there; days.
_PAPER = Config(
    problem=ProblemSettings(size=5),
    model=ModelSettings(width=512, heads=8, encoder_layers=4, decoder_layers=4, precision="bfloat16"),
    fit=Fit(max_steps=300_000, warmup=10_000, learning_rate=2e-4, batch=512, check_every=2_000, patience=20),
    n_real=200_000,
    arms=_arms(
        (1_000_000, 3_000_000, 10_000_000),
        (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0),
        (0.5, 0.65, 0.8, 1.0),
        (1_000_000, 3),
    ),
    chains=3,
    held_out=10_000,
    beam=50,
    beam_matrices=10_000,
    audited=100_000,
)

SCALES = {"quick": _QUICK, "small": _SMALL, "paper": _PAPER}


def configure(config: Config, *, data: str | None, folder: str) -> Config:
    """The configuration, saved below `folder`.

    Raises:
        ValueError: data is given; matrices are drawn, not read.
    """
    if data is not None:
        raise ValueError(f"data is given, but feng-eigenvalues reads no real data, got {data!r}")
    return dataclasses.replace(config, folder=folder)
