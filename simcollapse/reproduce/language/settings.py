"""What is run: model, texts, arms, budget and seeds. Fixed before a run; needs no extra."""

import dataclasses

from simcollapse.checks import check_choice

MADE = "made"  # the made language; else a published set or a file of JSON lines, see docs/language.md
VERIFIERS = ("none", "oracle", "self", "weak", "random")
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
TOO_LONG = ("error", "drop", "truncate")


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a model is tuned; fields as of `simcollapse.neural.language.training.tuning`."""

    max_steps: int | None = None
    epochs: int | None = None
    batch: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-2
    schedule: str = "cosine"
    warmup: float = 0.1
    rank: int | None = None
    precision: str = "float32"
    remat: bool = False


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of retraining: what is generated, who verifies it, how much is kept, and what is done with it.

    With `real` or `synthetic` an arm is one model of so many real rows, none of which the generator saw, and so many
    generated ones, unverified.
    """

    name: str
    generated: int = 0  # rows of a round
    verifier: str = "none"
    share: float = 1.0
    workflow: str = "replace"
    rounds: int = 1
    real: int = 0
    synthetic: int = 0

    @property
    def mixed(self) -> bool:
        """Whether it is one model of given rows."""
        return self.generated == 0


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run."""

    arms: tuple[Arm, ...]
    n_real: int  # texts that the generator is tuned on
    n_prompts: int  # that are answered; the first n_real are those texts'
    chains: int  # independent seeds
    fit: Fit
    checkpoint: str = ""  # a folder, GGUF file or hub name; empty: the embedded decoder
    data: str = MADE
    whole: bool = False  # texts have no prompt, and every fit starts from fresh parameters: pretraining
    width: int = 32  # of the embedded decoder, with its layers, and steps of its base model
    layers: int = 2
    base_steps: int = 600
    tokens: int = 512  # of a text, and of an answer; of published sets only
    answer: int = 64
    too_long: str = "drop"  # longer texts; "truncate" cuts prompts, and leaves room for an answer; "error"
    continuing: bool = False  # every fit starts from the last round's model, not anew
    temperature: float = 1.0
    top_p: float = 1.0
    greedy: bool = False  # how answers are measured; without it they are drawn as in a round
    batch: int = 250  # of prompts answered, and texts scored, at a time
    held_out: int = 1_000  # texts of a model's loss
    answered: int = 500  # of their prompts, answered to measure a model
    quantile: float = 0.875  # of published sets: correct is ROUGE-1 above this quantile of the generator's
    seed: int = 0
    folder: str = ""  # where rounds are saved; empty: nowhere

    @property
    def rounds(self) -> int:
        """Most rounds of an arm."""
        return max(arm.rounds for arm in self.arms)

    @property
    def weak(self) -> bool:
        """Whether another model verifies."""
        return any(arm.verifier == "weak" for arm in self.arms)

    @property
    def fits(self) -> int:
        """Fits over all chains, that of the base model apart."""
        return self.chains * (1 + self.weak + sum(arm.rounds for arm in self.arms))

    @property
    def extra_real(self) -> int:
        """Most real texts besides the generator's that an arm needs."""
        return max([arm.real for arm in self.arms] + [self.n_real * self.weak])


def configure(
    config: Config,
    *,
    data: str | None,
    folder: str,
    model: str | None = None,
    continuing: bool = False,
    too_long: str | None = None,
    published: Fit | None = None,
) -> Config:
    """The configuration with these texts and this checkpoint, saved below `folder`.

    Args:
        config: that of a scale.
        data, model: texts and checkpoint, both or neither.
        folder: of its rounds.
        continuing: every fit starts from the last round's model, in place of the base model or fresh parameters.
        too_long: what happens to texts longer than the scale's; None: what the scale says.
        published: how a checkpoint is tuned at any scale, since the rate that the small embedded decoder learns with
            destroys it; None: as the scale says.

    Raises:
        ValueError: a checkpoint without texts, or texts without a checkpoint: the embedded decoder reads the made
            language, and nothing else does; an option that would change nothing.
    """
    if continuing and all(arm.mixed for arm in config.arms):
        raise ValueError("continuing must not be given where no model has another round before it")
    config = dataclasses.replace(config, folder=folder, continuing=continuing)
    if too_long is not None:
        check_choice("too_long", too_long, TOO_LONG)
        config = dataclasses.replace(config, too_long=too_long)
    if (data or MADE) == MADE and not model:
        if too_long is not None:
            raise ValueError(
                f"too_long is of texts that are read (model and data), of which the made language has none; got "
                f"{too_long!r}"
            )
        return config
    if not model or (data or MADE) == MADE:
        raise ValueError(
            "model and data must be given together (a checkpoint, and xsum, helpsteer2, alpaca, tinystories or a file "
            f"of JSON lines), or neither for the embedded decoder and its made language; got {model!r} and {data!r}"
        )
    return dataclasses.replace(config, checkpoint=model, data=data, fit=published or config.fit)
