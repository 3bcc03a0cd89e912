"""What the pictures share: estimates over chains, panels of curves, words."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats

from simcollapse.reproduce import claims, style
from simcollapse.reproduce.claims import Claim
from simcollapse.reproduce.estimates import Estimate
from simcollapse.reproduce.language.settings import MADE, Config, Fit, of_json

EXTRA = "neural"
VERIFIER_COLORS = {
    "oracle": style.STRENGTH_COLORS[0],
    "self": style.STRENGTH_COLORS[1],
    "weak": style.STRENGTH_COLORS[2],
    "random": style.STRENGTH_COLORS[4],
    "none": style.STRENGTH_COLORS[3],
}
VERIFIER_WORDS = {
    "oracle": "oracle",
    "self": "self-selection",
    "weak": "weak supervision",
    "random": "random",
    "none": "unverified",
}
VERIFIER_MARKERS = {"oracle": "P", "self": "o", "weak": "v", "random": "X", "none": "s"}
LABELS = {
    "accuracy": "answers that are correct",
    "loss": "held-out loss, nats a token",
    "rouge1": "ROUGE-1 against the references",
    "distinct_2": "distinct-2 of answers",
    "self_bleu": "self-BLEU of answers",
    "length": "length of answers, tokens",
    "p_star": "p* of the verifier",
    "p": "error rate p of the generator",
    "acceptance_rate": "share kept",
}


def check(config: Config) -> None:
    """Raise ImportError without the extra."""
    importlib.import_module("simcollapse.neural.language")


def runs(config: Config) -> xr.Dataset:
    """What `runs.runs` gives, which needs the extra."""
    from simcollapse.reproduce.language.runs import runs

    return runs(config)


def preview(config: Config) -> str:
    """What a run of `config` will take, in words; see `preview.preview`, which needs the extra."""
    return importlib.import_module("simcollapse.reproduce.language.preview").preview(config)


def settings_of(data: xr.Dataset) -> Config:
    """The configuration that `data` was computed with: that of the scale, or of fewer texts."""
    return of_json(data.attrs["config"])


def quality(data: xr.Dataset) -> str:
    """What a good answer is judged by: the parser for the made language, ROUGE-1 as published for real texts."""
    return "accuracy" if settings_of(data).data == MADE else "rouge1"


def words(config: Config, data: xr.Dataset, spread: str = "bands") -> str:
    """Model, texts and seeds in a line, and what `spread` shows their errors."""
    who = (
        f"a decoder of bytes with {data.attrs['parameters']:,} parameters"
        if not config.checkpoint
        else f"{data.attrs['parameters']:,} parameters"
    )
    steps = fit_length(config.fit)
    steps += f" of adapters of rank {config.fit.rank}" if config.fit.rank else ""
    cut = f", cut to {config.tokens} tokens" if config.data != MADE and config.too_long == "truncate" else ""
    run = f"{data.attrs['source']}{cut}, {who}, {steps} a fit"
    if config.chains == 1:
        return f"{run};\none seed, {spread} of two standard errors of the change since round 0, over held-out texts"
    return f"{run}; mean of {config.chains} seeds, {spread} of two standard errors"


def fit_length(fit: Fit) -> str:
    """Of a fit: its steps, or passes over its rows."""
    if fit.max_steps:
        return f"{fit.max_steps:,} steps"
    return "1 pass" if fit.epochs == 1 else f"{fit.epochs} passes"


def fit_words(fit: Fit) -> str:
    """How a model is tuned."""
    what = f"adapters of rank {fit.rank}" if fit.rank else "all weights"
    return (
        f"a fit: {fit_length(fit)} of batches of {fit.batch * fit.accumulation}, {what}, learning rate "
        f"{fit.learning_rate:g} ({fit.schedule}, warm-up {100 * fit.warmup:g} %), {fit.precision}"
    )


def started(config: Config) -> str:
    """What every model is tuned from."""
    if config.continuing:
        return "the last round's model"
    return "fresh parameters" if config.whole else "the base model"


def note(config: Config) -> str:
    """What stands under the table of claims."""
    correct = (
        "Correct: the parser of the made language accepts prompt and answer together (exact)."
        if config.data == MADE
        else f"Correct: ROUGE-1 at least the {100 * config.quantile:g} % quantile of the generator's answers (a proxy)."
    )
    if config.fewer:
        correct += f" Fewer texts than at this scale: {config.fewer}."
    if config.chains == 1:
        return (
            f"{correct} One seed: claims ask for {claims.SURE:g} standard errors over the held-out texts, which every "
            "model answers. For a difference that is not there on all such texts, one-sided level "
            f"{100 * stats.norm.sf(claims.SURE):.1f} % each. They do not tell what other training texts or draws would "
            "give."
        )
    level = stats.t.sf(claims.SURE, config.chains - 1)
    return (
        f"{correct} Claims ask for {claims.SURE:g} standard errors over {config.chains} seeds: for a difference that "
        f"is not there, one-sided level {100 * level:.1f} % each (t, {config.chains - 1} degrees of freedom)."
    )


def at(data: xr.Dataset, name: str, arm: str, k: int) -> np.ndarray:
    """A number of an arm's round k, (chain,); where there is one chain, of each held-out text, if it is of texts."""
    return samples(data, name, arm).sel(round=k).to_numpy().astype(float)


def samples(data: xr.Dataset, name: str, arm: str) -> xr.DataArray:
    """What means and standard errors of an arm are over, (sample, round): chains, or held-out texts of a single one."""
    of_text = f"text_{name}"
    if data.sizes["chain"] == 1 and of_text in data:
        return data[of_text].sel(arm=arm).isel(chain=0).transpose(f"{of_text}_place", "round")
    return data[name].sel(arm=arm).transpose("chain", "round")


def estimate(samples: np.ndarray) -> Estimate:
    """Mean and standard error of independent samples; of one sample the error is not known, NaN."""
    error = float(np.std(samples, ddof=1) / np.sqrt(len(samples))) if len(samples) > 1 else float("nan")
    return Estimate(float(np.mean(samples)), error)


def above(statement: str, source: str, quantity: str, samples: np.ndarray, limit: float = 0.0) -> Claim:
    """The mean of paired samples is above `limit`."""
    return claims.above(statement, source, quantity, estimate(samples), limit)


def curve(axis: Axes, data: xr.Dataset, name: str, arm: str, label: str | None, **look: Any) -> None:
    """Mean by round, with a band of two standard errors (see `samples`); rounds without a value are left out.

    Held-out texts differ much and in every model alike, so that over them the band is of the change since round 0.
    """
    values = samples(data, name, arm).to_numpy()
    there = np.isfinite(values).all(axis=0)
    x, values = data["round"].to_numpy()[there], values[:, there]
    mean = values.mean(axis=0)
    axis.plot(x, mean, label=label, markersize=3.8, linewidth=1.4, **look)
    if len(values) == 1:
        return
    spread = values - values[:, :1] if data.sizes["chain"] == 1 else values
    error = spread.std(axis=0, ddof=1) / np.sqrt(len(values))
    axis.fill_between(x, mean - 2 * error, mean + 2 * error, color=look["color"], alpha=0.18, linewidth=0)


def bars(axis: Axes, x: Sequence[float] | np.ndarray, samples: Sequence[np.ndarray], **look: Any) -> None:
    """Means over chains with bars of two standard errors, one for each of `x`."""
    got = [estimate(one) for one in samples]
    axis.errorbar(
        x, [g.value for g in got], [2 * g.error for g in got], capsize=2, linewidth=1.3, **look
    )  # fmt: skip


def level(axis: Axes, samples: np.ndarray, label: str, **look: Any) -> None:
    """A line across at the mean over chains."""
    axis.axhline(float(np.mean(samples)), label=label, **({"color": "black", "linewidth": 1.0} | look))


def floor(axis: Axes, data: xr.Dataset) -> None:
    """The loss that no model beats, where it is known."""
    if np.isfinite(data.attrs["floor"]):
        axis.axhline(
            data.attrs["floor"],
            color="#666666",
            linewidth=1.0,
            linestyle=(0, (1, 2)),
            label="the language itself",
        )


def by_round(axis: Axes, label: str) -> None:
    """Axes of a panel by round."""
    axis.set(xlabel="round k", ylabel=label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
