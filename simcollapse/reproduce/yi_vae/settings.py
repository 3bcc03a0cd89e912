"""What is run: arms, sizes, budget and seeds, by scale and data set. Fixed before a run; needs no extra."""

import dataclasses

from simcollapse.checks import check_choice

DATA = ("digits", "mnist")
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")  # of an arm
STRONG, WEAK, SAME, FULL, MORE = "strong", "weak", "same", "full", "more"
WORDS = {
    STRONG: "strong verifier",
    WEAK: "weak verifier",
    SAME: "no verifier, same kept count",
    FULL: "no verifier, full generated count",
    MORE: "strong verifier, more real data",
}


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a network trains; fields as of `simcollapse.neural.training.training`."""

    max_steps: int  # optimiser steps at most
    check_every: int = 50
    patience: int = 5
    batch: int = 128  # Source: [Yi26], section 5.2 (v3), and the rate
    learning_rate: float = 1e-3
    held_out: float = 0.1


@dataclasses.dataclass(frozen=True)
class ArmSettings:
    """One way of retraining."""

    name: str  # a key of WORDS
    n_real: int  # real images of round 0
    generated: int  # images generated in round 1
    increment: int  # more in each later round
    verifier_rows: int = 0  # real images that the discriminator learned from; 0: no verifier
    share: float = 0.1  # of each class, kept by the discriminator's score. Source: [Yi26], section 5.2 (v3)
    least: float | None = None  # keep scores (log odds of being real) of at least this instead of a share
    conditional: bool = False  # the discriminator sees the class
    opponent_rows: int = (
        0  # its negatives: images of a model fitted to so many real ones; 0: the chain's round 0
    )
    workflow: str = "replace"  # one of WORKFLOWS
    rounds: int | None = None  # None: those of the run


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run."""

    data: str
    arms: tuple[ArmSettings, ...]
    rounds: int
    chains: int  # independent seeds
    architecture: str
    fit: Fit
    discriminator: Fit
    classifier: Fit
    reference: Fit  # of the model trained on all real images, for the picture
    held_out: int  # real test images of the ELBO
    bound_rows: int  # real test images of the importance-weighted bound
    bound_draws: int
    samples: int  # generated images of the Fréchet distance
    confidence: float = 0.9  # of the classifier, from which on a generated image is correct
    binarised: bool = False  # real images in black and white
    output: str = "mean"  # a generated image is the decoder's mean; or "sample", a Bernoulli draw of it
    seed: int = 0
    folder: str = ""  # where rounds are saved; empty: nowhere

    @property
    def fits(self) -> int:
        """Fits of autoencoders, over all chains."""
        starts = len({arm.n_real for arm in self.arms})
        opponents = sum(arm.opponent_rows > 0 for arm in self.arms)
        return 1 + self.chains * (starts + opponents + sum(arm.rounds or self.rounds for arm in self.arms))

    @property
    def verifiers(self) -> int:
        """Discriminators trained, over all chains."""
        return self.chains * sum(arm.verifier_rows > 0 for arm in self.arms)

    @property
    def budget(self) -> int:
        """Optimiser steps at most, the classifier's apart."""
        fits = (self.fits - 1) * self.fit.max_steps + self.reference.max_steps
        return fits + self.verifiers * self.discriminator.max_steps


def _arms(
    n_real: int, more: int, generated: int, increment: int, strong: int, weak: int, **options
) -> tuple[ArmSettings, ...]:
    """The arms that the claims compare; `more` real images are followed for one round, for the early gain."""
    kept = generated // 10, increment // 10
    return (
        ArmSettings(STRONG, n_real, generated, increment, verifier_rows=strong, **options),
        ArmSettings(WEAK, n_real, generated, increment, verifier_rows=weak, **options),
        ArmSettings(SAME, n_real, *kept, **options),
        ArmSettings(FULL, n_real, generated, increment, **options),
        ArmSettings(MORE, more, generated, increment, verifier_rows=strong, rounds=1, **options),
    )


# As published, round 1 keeps six times as many images as there are real ones: [Yi26], section 5.2 (v3), 10 % of 30,000
# from 500. (First tries kept one or two times as many, and verified rounds then lost more by the small sample than they
# gained by its quality.) Of grey 8 x 8 digits a decoder with Bernoulli likelihood learns little but the mean of each
# class (KL below 1 nat), so there is no generator to speak of; of binary ones, drawn pixel by pixel, it uses its
# latents.
_DIGITS = Config(
    data="digits",
    arms=_arms(n_real=100, more=400, generated=6_000, increment=1_000, strong=800, weak=50),
    rounds=4,
    chains=4,
    architecture="mlp",
    fit=Fit(max_steps=800, learning_rate=3e-3),
    discriminator=Fit(max_steps=600, patience=4),
    classifier=Fit(max_steps=1_500, patience=6),
    reference=Fit(max_steps=1_500, learning_rate=3e-3),
    held_out=500,
    bound_rows=200,
    bound_draws=32,
    samples=1_000,
    binarised=True,
    output="sample",
)
_MNIST = Config(
    data="mnist",
    arms=_arms(n_real=500, more=2_000, generated=30_000, increment=2_000, strong=10_000, weak=200),
    rounds=6,
    chains=3,
    architecture="mlp",
    fit=Fit(max_steps=800),
    discriminator=Fit(max_steps=1_500, check_every=100, patience=4),
    classifier=Fit(max_steps=4_000, check_every=250, patience=6),
    reference=Fit(max_steps=5_000, check_every=250),
    held_out=2_000,
    bound_rows=300,
    bound_draws=64,
    samples=2_000,
)
# As published: convolutions, 40 rounds, 30,000 generated images at first and a million at last. For an accelerator.
_PAPER = dataclasses.replace(
    _MNIST,
    arms=_arms(n_real=500, more=2_000, generated=30_000, increment=24_900, strong=40_000, weak=500),
    rounds=40,
    architecture="conv",
    fit=Fit(max_steps=20_000, check_every=200, patience=10),
    discriminator=Fit(max_steps=10_000, check_every=200, patience=10),
    reference=Fit(max_steps=40_000, check_every=500, patience=10),
    held_out=10_000,
    bound_rows=2_000,
    bound_draws=500,
    samples=10_000,
)

PRESETS: dict[str, dict[str, Config]] = {
    "digits": {
        "quick": _DIGITS,
        "small": dataclasses.replace(_DIGITS, rounds=10, chains=10),
        "paper": dataclasses.replace(
            _DIGITS,
            rounds=40,
            chains=10,
            architecture="conv",
            fit=dataclasses.replace(_DIGITS.fit, max_steps=3_000, patience=10),
        ),
    },
    "mnist": {
        "quick": dataclasses.replace(
            _MNIST,
            rounds=3,
            arms=_arms(n_real=500, more=2_000, generated=30_000, increment=2_000, strong=5_000, weak=200),
            fit=Fit(max_steps=300),
            reference=Fit(max_steps=1_000),
        ),
        "small": _MNIST,
        "paper": _PAPER,
    },
}
SCALES = PRESETS["digits"]  # unless --data says otherwise


def configure(config: Config, *, data: str | None, folder: str) -> Config:
    """The preset of the named data set at the scale of `config`, with its seed, saved below `folder`.

    Raises:
        ValueError: an unknown data set; the nearest known is named.
    """
    name = data or "digits"
    check_choice("data", name, DATA)
    scale = next(s for s, preset in SCALES.items() if dataclasses.replace(config, seed=preset.seed) == preset)
    return dataclasses.replace(PRESETS[name][scale], seed=config.seed, folder=folder)
