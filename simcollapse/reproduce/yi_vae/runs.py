"""The runs under both pictures: every arm of every chain, resumed where an earlier run stopped."""

import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from simcollapse import keys, results, schedules, workflows
from simcollapse.checks import check_choice, check_whole
from simcollapse.data.finding import cache_folder
from simcollapse.data.images import binarised, load_images
from simcollapse.neural import checkpoints, loop, selection, training
from simcollapse.neural.progress import Progress
from simcollapse.neural.settings import neural_settings
from simcollapse.neural.vae import models, referee, task, verifier
from simcollapse.reproduce.yi_vae.settings import WORKFLOWS, ArmSettings, Config, Fit

# Keys of one chain: the deal of the real images, the opponents, and the verifiers' training.
DEAL, OPPONENT, JUDGE = range(3)


@functools.lru_cache(maxsize=1)  # two pictures are drawn from the same runs
def runs(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round), NaN where an arm stopped earlier; do not change it in place.

    shown (arm, round, class, sample, y, x): images of chain 0 from fixed latents; shown_real, shown_reference: real
    ones, and those of a model trained on all real images.
    """
    with neural_settings(), checkpoints.alone(config.folder):
        return _Run(config).dataset()


class _Run:
    """What the chains of one run share."""

    def __init__(self, config: Config):
        self._config = config
        images = load_images(config.data)
        _check(config, len(images.train.labels), images.classes)
        self._images = binarised(images) if config.binarised else images
        told = f"{self._images.source}; at most {config.budget:,} optimiser steps in {config.fits} fits and "
        print(f"{told}{config.verifiers} discriminators", file=sys.stderr, flush=True)
        side = self._images.train.images.shape[1]
        with _named("classifier"):
            self._referee = referee.referee(self._images, _training(config.classifier), cache_folder())
        sizes = models.sizes(side, self._images.classes, config.architecture)
        self._family = task.vaes(sizes, config.output)
        self._progress = Progress(config.fits)
        self._folder = Path(config.folder) if config.folder else None
        self._identity = _identity(config)

    def dataset(self) -> xr.Dataset:
        config = self._config
        reference = self._reference()
        tables = {name: [loop.table(r) for r in records] for name, records in self._records().items()}
        shown = {arm: one[0].pop("shown") for arm, one in tables.items()}
        names = dict.fromkeys(n for one in tables.values() for t in one for n in t if n != "shown")
        data = xr.Dataset(
            {
                name: (
                    ("arm", "chain", "round"),
                    loop.stacked(list(tables.values()), name, config.rounds),
                    self._words(name),
                )
                for name in names
            },
            coords={
                "arm": [arm.name for arm in config.arms],
                "chain": np.arange(config.chains),
                "round": np.arange(config.rounds + 1),
            },
        )
        grid = ("label", "sample", "y", "x")
        whole = [_filled(shown[arm.name], config.rounds + 1) for arm in config.arms]
        data["shown"] = (
            ("arm", "round", *grid),
            np.stack(whole).view(np.int8),
        )  # NetCDF 3 has no unsigned bytes
        data["shown_real"] = grid, self._real_grid().view(np.int8)
        data["shown_reference"] = grid, reference["shown"].view(np.int8)
        data.attrs.update(
            config=json.dumps(dataclasses.asdict(dataclasses.replace(config, folder=""))),
            source=self._images.source,
            classifier_accuracy=self._referee.accuracy,
            reference_fid=reference["fid"],
            reference_elbo=reference["elbo"],
            budget=config.budget,
            backend=jax.default_backend(),
            device=jax.devices()[0].device_kind,
            jax=jax.__version__,
        )
        return data

    def _words(self, name):
        return results.describe(name, task.DESCRIPTIONS)

    def _task(self, images):
        c = self._config
        measures = task.Measures(c.held_out, c.bound_rows, c.bound_draws, c.samples)
        return task.image_task(
            self._family, _training(c.fit), self._referee, images, self._images.test, measures, c.confidence
        )

    def _records(self) -> dict[str, list[list[loop.Record]]]:
        """Records of every arm and chain. Accelerators fit the chains of an arm together; CPUs gain nothing by that."""
        config = self._config
        found: dict[str, list[list[loop.Record]]] = {arm.name: [] for arm in config.arms}
        together = jax.default_backend() != "cpu"
        groups = [range(config.chains)] if together else [[c] for c in range(config.chains)]
        for group in groups:
            prepared = [self._chain(c) for c in group]
            for arm in config.arms:
                found[arm.name] += self._retrained(group, [one[arm.name] for one in prepared], arm)
        return found

    def _chain(self, c: int) -> dict[str, loop.Chain]:
        """Every arm of a chain, ready to run. The arms share the real images, round 0 and the noise of every round."""
        config = self._config
        key = keys.chain_key(keys.root(config.seed), jnp.zeros(0, dtype=jnp.int32), jnp.int32(c))
        key_own = jax.random.fold_in(key, 2**31 - 1)  # a round that no chain reaches
        order = task.deal(keys.for_purpose(key_own, DEAL), self._images)
        most = max(arm.n_real for arm in config.arms)
        starts, chains = {}, {}
        for arm in config.arms:
            if arm.n_real not in starts:
                mine = self._task(task.pick(self._images.train, order[: arm.n_real]))
                starts[arm.n_real] = mine, self._start(key, mine, c, arm.n_real)
            mine, started = starts[arm.n_real]
            judge = self._judge(key_own, mine, started[0].model, order[most:], c, arm)
            choice = loop.Arm(mine, judge, _selection(arm), workflows.KNOWN[arm.workflow]())
            chains[arm.name] = loop.Chain(key, choice, started, self._where(c, arm.name))
        return chains

    def _retrained(self, group: Sequence[int], chains: list[loop.Chain], arm: ArmSettings):
        schedule = _schedule(arm, self._config)
        fitted = 0

        def watch(i, k, record):
            nonlocal fitted
            if k:
                fitted += 1
                self._progress.round(f"chain {group[i]}, {arm.name}, round {k}", record)

        with _named(f"chain {', '.join(map(str, group))}, {arm.name}"):
            found = loop.run_chains(chains, schedule.tolist(), identity=self._identity, watch=watch)
        self._progress.spared(len(schedule) * len(chains) - fitted)
        return found

    def _start(self, key, mine, c, n_real):
        """Round 0, fitted or as it was saved."""
        folder = self._where(c, f"real-{n_real}")
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            self._progress.spared(1)
            return loop.state_of(saved), saved.records[0]
        with _named(f"chain {c}, {n_real} real images"):
            state, record = loop.start(key, mine)
        loop.save_start(folder, state, record, self._identity)
        self._progress.round(f"chain {c}, {n_real} real images", record)
        return state, record

    def _judge(self, key, mine, initial, spare: np.ndarray, c: int, arm: ArmSettings):
        """The arm's discriminator; None without one. It learns from real images that no generator saw."""
        if not arm.verifier_rows:
            return None
        config, images = self._config, self._images
        classes = images.classes if arm.conditional else 0
        family = verifier.discriminators(
            images.train.images.shape[1], classes, _training(config.discriminator)
        )
        name = f"discriminator-{arm.verifier_rows}-{classes}-{arm.opponent_rows}-{arm.n_real}"
        folder = self._where(c, name)
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            self._progress.spared(arm.opponent_rows > 0)
            return verifier.DiscriminatorVerifier(family, saved.state)
        key_judge = keys.for_purpose(key, JUDGE)
        key_made, key_train = jax.random.split(key_judge)
        opponent = initial
        if arm.opponent_rows:  # a model of other real images, for the discriminator to learn from
            others = referee.rows_of(task.pick(images.train, spare[-arm.opponent_rows :]))
            with _named(f"chain {c}, opponent of {arm.name}"):
                opponent, report = mine.fit(keys.for_purpose(key, OPPONENT), others, None)
            self._progress.round(f"chain {c}, opponent of {arm.name}", {"fit_loss": report["loss"]})
        real = referee.rows_of(task.pick(images.train, spare[: arm.verifier_rows]))
        made = mine.family.generate(key_made, opponent, real["label"])
        with _named(f"chain {c}, discriminator of {arm.name}"):
            params, report = family.train(key_train, real, made)
        if folder is not None:
            checkpoints.save(folder, 0, params, [dict(report)], self._identity)
        return verifier.DiscriminatorVerifier(family, params)

    def _reference(self) -> loop.Record:
        """A model trained on all real images: its record."""
        folder = None if self._folder is None else self._folder / "reference"
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            self._progress.spared(1)
            return saved.records[0]
        settings = _training(self._config.reference)
        mine = dataclasses.replace(self._task(self._images.train), training=settings)
        key = jax.random.fold_in(keys.root(self._config.seed), 2**31 - 1)
        with _named("all real images"):
            state, record = loop.start(key, mine)
        if folder is not None:
            checkpoints.save(folder, 0, {"model": state.model}, [record], self._identity)
        self._progress.round(f"all {len(self._images.train.labels):,} real images", record)
        return record

    def _real_grid(self):
        images, labels = self._images.test
        rows = [images[labels == y][: task.SHOWN] for y in range(self._images.classes)]
        return np.stack(rows)

    def _where(self, c: int, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"chain-{c}" / name


@contextlib.contextmanager
def _named(words: str) -> Iterator[None]:
    """Says whose training failed, if it does."""
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(f"{words}: {error}") from error


def _check(config: Config, number: int, classes: int) -> None:
    """Raise before anything is trained for arms that cannot run on `number` real images of `classes` classes."""
    most = max(check_whole(f"n_real of {arm.name}", arm.n_real, 1, number) for arm in config.arms)
    spare = number - most  # for the verifiers, which no generator sees
    for arm in config.arms:
        check_whole(f"verifier_rows of {arm.name}", arm.verifier_rows, 0, spare)
        check_whole(f"opponent_rows of {arm.name}", arm.opponent_rows, 0, spare - arm.verifier_rows)
        check_choice(f"workflow of {arm.name}", arm.workflow, WORKFLOWS)
        for count in _schedule(arm, config):
            _selection(arm).check(np.bincount(np.arange(count) % classes, minlength=classes))


def _schedule(arm: ArmSettings, config: Config) -> np.ndarray:
    """Images generated in rounds 1..K."""
    growth = schedules.linear_growth(arm.generated, arm.increment)
    return schedules.resolve(growth, arm.rounds or config.rounds)


def _selection(arm: ArmSettings) -> selection.Selection:
    if not arm.verifier_rows:
        return selection.Everything()
    return selection.top_share(arm.share) if arm.least is None else selection.threshold(arm.least)


def _filled(shown: np.ndarray, rounds: int) -> np.ndarray:
    """Grids of rounds 0..K; the last again where an arm stopped earlier."""
    return shown[np.minimum(np.arange(rounds), len(shown) - 1)].astype(np.uint8)


def _training(fit: Fit) -> training.Training:
    return training.training(**dataclasses.asdict(fit))


def _identity(config: Config) -> str:
    """What a saved round must share with this run to be gone on from: not the number of chains, which adds some."""
    settings = dataclasses.asdict(dataclasses.replace(config, folder="", chains=0))
    return json.dumps(settings | {"jax": jax.__version__, "backend": jax.default_backend()})
