"""What is run: model, texts, arms, budget and seeds. Fixed before a run; needs no extra."""

import dataclasses
import json
import math

from simcollapse.checks import check_choice

MADE = "made"  # the made language; else a published set or a file of JSON lines, see docs/language.md
VERIFIERS = ("none", "oracle", "self", "weak", "random")
WORKFLOWS = ("replace", "accumulate", "accumulate_subsample")
TOO_LONG = ("error", "drop", "truncate")
PIECES = 8  # of a batch of a checkpoint's fit, in turn: 32 texts of 512 tokens at once take some 25 GB
LEAST = 0.1  # of a scale's texts that a run must have: with fewer it would be another scale


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
    fewer: str = ""  # how numbers of texts were reduced, in words; see `reduced`

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

    @property
    def texts(self) -> int:
        """Real texts that a chain needs."""
        return self.n_prompts + self.extra_real


def of_json(text: str) -> Config:
    """The configuration that was written so, with `dataclasses.asdict`."""
    told = json.loads(text)
    return Config(**told | {"arms": tuple(Arm(**arm) for arm in told["arms"]), "fit": Fit(**told["fit"])})


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
    if published is not None:
        pieces = {"batch": published.batch // PIECES, "accumulation": PIECES * published.accumulation}
        config = dataclasses.replace(config, fit=dataclasses.replace(published, **pieces))
    return dataclasses.replace(config, checkpoint=model, data=data)


def reduced(config: Config, there: int, held: int, source: str, remedy: str) -> Config:
    """The configuration with fewer texts, where there are fewer than it asks for; `fewer` then says so.

    All numbers of texts are reduced by one factor that keeps them whole, held-out ones rounded down: arms that take as
    many texts as others keep still do. Where only held-out texts are too few, all that there are measure.

    Args:
        config: that of a scale.
        there, held: texts to tune on, and held-out ones, that fit.
        source, remedy: where they are from, and how to have more, in words.

    Raises:
        ValueError: fewer than `LEAST` of the texts to tune on, or too few for one in place of each.
    """
    asked, fewer = config.texts, []
    if there < asked:
        counts = [n for arm in config.arms for n in (arm.generated, arm.real, arm.synthetic)]
        unit = math.gcd(config.n_real, config.n_prompts, *counts)
        part = unit * there // asked  # what is left of `unit` texts
        least = math.ceil(max(LEAST * unit, 1))
        if part < least:
            cut = "" if config.too_long == "truncate" else ", --too-long truncate, which cuts longer texts"
            raise ValueError(
                f"{source} must have {math.ceil(least * asked / unit):,} texts that fit or more, where a chain of this "
                f"scale asks for {asked:,}; it has {there:,}: choose a smaller --scale{cut}, or {remedy}"
            )
        config = _scaled(config, part, unit)
        fewer.append(
            f"{source} has {there:,} texts that fit where the scale asks for {asked:,} a chain: all numbers of texts "
            f"are {100 * part / unit:.3g} % of the scale's ({config.n_real:,} real, {config.n_prompts:,} prompts, "
            f"{config.held_out:,} held out){', nearly the same in every seed' if config.chains > 1 else ''}"
        )
    if held < config.held_out:
        fewer.append(f"{held:,} held-out texts fit where {config.held_out:,} are asked for")
        config = dataclasses.replace(config, held_out=held, answered=min(config.answered, held))
    return dataclasses.replace(config, fewer="; ".join(fewer))


def _scaled(config: Config, part: int, unit: int) -> Config:
    def of(number: int) -> int:
        return number * part // unit

    arms = tuple(
        dataclasses.replace(arm, generated=of(arm.generated), real=of(arm.real), synthetic=of(arm.synthetic))
        for arm in config.arms
    )
    return dataclasses.replace(
        config,
        arms=arms,
        n_real=of(config.n_real),
        n_prompts=of(config.n_prompts),
        held_out=max(of(config.held_out), 1),
        answered=max(of(config.answered), 1),
    )
