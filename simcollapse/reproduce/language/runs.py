"""The runs under the pictures: generators, verifiers, every arm of every chain; resumed where a run stopped."""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from simcollapse import keys, results, workflows
from simcollapse.neural import checkpoints, loop, pools, selection
from simcollapse.neural.language import names, task, truths, verifiers
from simcollapse.neural.language.choosing import choosing
from simcollapse.neural.language.resuming import digest
from simcollapse.neural.language.room import FLOAT, check_room, full_is_said
from simcollapse.neural.language.rows import FIELDS
from simcollapse.neural.language.training import Tuner, tuning
from simcollapse.neural.progress import Progress
from simcollapse.neural.settings import neural_settings
from simcollapse.reproduce.language.common import fit_words
from simcollapse.reproduce.language.settings import MADE, Arm, Config, Fit
from simcollapse.reproduce.language.sources import Deal, Source, source

# Keys of one chain besides those of its rounds: the texts, another model, the level of the truth, mixed rows.
DEAL, OTHER, LEVEL, MIX = range(4)
LEVELLED = 2_000  # answers, at most, whose quantile is the level of what is correct
SHOWN = 8  # answers of a model that are kept for reading


def runs(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round), NaN where an arm stopped earlier; round 0 is the generator."""
    said = full_is_said(Path(config.folder)) if config.folder else contextlib.nullcontext()
    with said, neural_settings(), checkpoints.alone(config.folder):
        return Run(config).dataset()


class Run:
    """What the chains of one run share; not `trained`, to be timed alone (see `source`)."""

    def __init__(self, config: Config, *, trained: bool = True):
        self.source, config = source(config, trained=trained)
        self.config = config
        self._tuner = self.tuner(config.fit)
        self._progress = Progress(config.fits)
        self._folder = Path(config.folder) if config.folder else None
        self._identity = _identity(config, self.source)
        size = names.parameters(self.source.decoder)
        if self._folder is not None:
            check_room(self._folder, disk_bytes(config, size))
        print(f"{self.source.words}; {size:,} parameters; {config.fits} fits", file=sys.stderr)
        print(fit_words(config.fit), file=sys.stderr, flush=True)

    def tuner(self, f: Fit) -> Tuner:
        """What fits in this way."""
        return Tuner(
            self.source.decoder,
            tuning(
                f.epochs,
                max_steps=f.max_steps,
                batch=f.batch,
                accumulation=f.accumulation,
                learning_rate=f.learning_rate,
                schedule=f.schedule,
                warmup=f.warmup,
                rank=f.rank,
                precision=f.precision,
                remat=f.remat,
            ),
        )

    def dataset(self) -> xr.Dataset:
        config = self.config
        chains = [self.chain(c) for c in range(config.chains)]
        tables = {arm.name: [loop.table(chain[arm.name]) for chain in chains] for arm in config.arms}
        self._write_samples(chains[0])
        for one in tables.values():
            for table in one:
                table.pop("shown", None)
        by_text = [self._by_text(tables, name) for name in task.BY_TEXT]
        found = dict.fromkeys(n for one in tables.values() for t in one for n in t)
        data = xr.Dataset(
            {
                name: (
                    ("arm", "chain", "round"),
                    loop.stacked(list(tables.values()), name, config.rounds),
                    results.describe(name, task.DESCRIPTIONS),
                )
                for name in found
            }
            | dict(zip(task.BY_TEXT, by_text, strict=True)),
            coords={
                "arm": [arm.name for arm in config.arms],
                "chain": np.arange(config.chains),
                "round": np.arange(config.rounds + 1),
                **{
                    f"arm_{field.name}": ("arm", [getattr(arm, field.name) for arm in config.arms])
                    for field in dataclasses.fields(Arm)
                    if field.name != "name"
                },
            },
        )
        data.attrs.update(
            config=json.dumps(dataclasses.asdict(dataclasses.replace(config, folder=""))),
            source=self.source.words,
            texts="\n".join(self.source.told),
            parameters=names.parameters(self.source.decoder),
            floor=self.source.floor,
            backend=jax.default_backend(),
            device=jax.devices()[0].device_kind,
            jax=jax.__version__,
        )
        return data

    def _by_text(self, tables, name):
        """A number of each held-out text, (arm, chain, round, `name`_place); taken out of the tables."""
        made = [[table.pop(name) for table in one] for one in tables.values()]
        out = np.full((len(made), self.config.chains, self.config.rounds + 1, made[0][0].shape[1]), np.nan)
        for i, one in enumerate(made):
            for c, values in enumerate(one):
                out[i, c, : len(values)] = values
        return (
            ("arm", "chain", "round", f"{name}_place"),
            out,
            results.describe(name, task.DESCRIPTIONS),
        )

    def _write_samples(self, chain: dict[str, list[loop.Record]]) -> None:
        """Answers of chain 0 to held-out prompts, for reading; beside its rounds, never in the data of a picture."""
        if self._folder is None:
            return
        lines = [
            json.dumps({"arm": name, "round": k, "prompt": prompt, "completion": answer}, ensure_ascii=False)
            for name, told in chain.items()
            for k, record in enumerate(told)
            for prompt, answer in task.read_shown(self._mine, record["shown"])
        ]
        (self._folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def chain(self, c: int) -> dict[str, list[loop.Record]]:
        """Records of every arm. Arms share texts, round 0 and all noise."""
        config = self.config
        key = keys.chain_key(keys.root(config.seed), jnp.zeros(0, dtype=jnp.int32), jnp.int32(c))
        key_own = jax.random.fold_in(key, 2**31 - 1)  # a round that no chain reaches
        dealt = self.source.deal(keys.for_purpose(key_own, DEAL), config)
        mine = self.task(dealt)
        state, record = self._once(c, "real", lambda: loop.start(key, mine), "the generator")
        if config.data != MADE:
            level = self._level(c, key_own, mine, state.model)
            mine, record = dataclasses.replace(mine, truth=level), task.levelled(record, level)
        other = None
        if config.weak:
            rows = pools.take(dealt.others, np.arange(config.n_real))
            theirs = dataclasses.replace(mine, rows=rows | {"source": np.zeros(config.n_real, np.int32)})
            key_other = keys.for_purpose(key_own, OTHER)
            started = self._once(c, "other", lambda: loop.start(key_other, theirs), "another model")
            other = started[0].model
        judges = {
            "none": None,
            "oracle": verifiers.Parser(mine) if config.data == MADE else verifiers.Oracle(mine),
            "self": verifiers.Perplexity(self.source.decoder, batch=config.batch),
            "weak": verifiers.Perplexity(self.source.decoder, other, batch=config.batch),
            "random": verifiers.Random(),
        }
        found, shared = {}, _Shared(mine)
        self._mine = mine  # what is shown is read the same way in every chain
        for arm in config.arms:
            if arm.mixed:
                found[arm.name] = [record, self._mixed(c, key_own, shared, state, dealt, arm)]
            else:
                choice = loop.Arm(
                    shared, judges[arm.verifier], _selection(arm), workflows.KNOWN[arm.workflow]()
                )
                found[arm.name] = self._retrained(c, key, choice, (state, record), arm)
        return found

    def task(self, dealt: Deal) -> task.TextTask:
        config = self.config
        drawn = task.sampling(
            self.source.most, choosing(config.temperature, top_p=config.top_p), batch=config.batch
        )
        read = dataclasses.replace(drawn, how=choosing(0.0)) if config.greedy else drawn
        held = self.source.held_out
        answered = min(config.answered, pools.count(held))
        return task.text_task(
            self._tuner,
            self.source.reader,
            truths.Parsed() if config.data == MADE else truths.Overlap(0.0),
            rows=dealt.rows,
            prompts=dealt.prompts,
            references=dealt.references,
            base=self.source.base,
            continuing=config.continuing,
            sampling=drawn,
            measures=task.Measures(held, answered, read, min(SHOWN, answered), by_text=True),
        )

    def _level(self, c, key, mine, model) -> truths.Overlap:
        """Correct is what overlaps more than this quantile of the generator's answers to its prompts do."""
        folder = self._where(c, "level")
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            return truths.Overlap(float(saved.state["least"]))
        rows = mine.generate(keys.for_purpose(key, LEVEL), model, min(LEVELLED, len(mine.prompts)))
        references = [mine.references[int(i)] for i in rows["source"]]
        made = truths.overlap(references, mine.reader.answers(rows), self.config.quantile)
        if folder is not None:
            checkpoints.save(folder, 0, {"least": np.asarray(made.least)}, [{}], self._identity)
        return made

    def _once(self, c, name, make, words):
        """A state and its record, made or as they were saved."""
        folder = self._where(c, name)
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            self._progress.spared(1)
            return loop.state_of(saved), saved.records[0]
        state, record = make()
        if folder is not None:
            loop.save_start(folder, state, record, self._identity)
        self._progress.round(f"chain {c}, {words}", record)
        return state, record

    def _record(self, c, name, make, words) -> loop.Record:
        """A record, made or as it was saved; the model is not."""
        folder = self._where(c, name)
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            self._progress.spared(1)
            return saved.records[0]
        record = make()
        if folder is not None:
            checkpoints.save(folder, 0, {"done": np.asarray(True)}, [record], self._identity)
        self._progress.round(f"chain {c}, {words}", record)
        return record

    def _mixed(self, c, key, shared, state, dealt, arm: Arm) -> loop.Record:
        """One model of `arm.real` real rows and `arm.synthetic` ones of the generator, as a record of round 1.

        All arms of a chain share the rows: a smaller number is the first of a larger one's.
        """
        return self._record(
            c, arm.name, lambda: self._fitted(key, shared, state, dealt, arm), f"{arm.name}, one model"
        )

    def _fitted(self, key, shared, state, dealt, arm: Arm) -> loop.Record:
        most = max(one.synthetic for one in self.config.arms)
        key = keys.for_purpose(key, MIX)
        real = pools.take(dealt.others, np.arange(arm.real))
        parts = [{name: real[name] for name in FIELDS}]
        if arm.synthetic:
            drawn = shared.generate(key, state.model, most)
            parts.append({name: drawn[name][: arm.synthetic] for name in FIELDS})
        rows = {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}
        rows["source"] = np.zeros(len(rows["begin"]), np.int32)
        return loop.start(key, dataclasses.replace(shared.task, rows=rows))[1]

    def _retrained(self, c, key, choice, started, arm: Arm) -> list[loop.Record]:
        seen = []

        def watch(k, record):
            if k:
                seen.append(k)
                self._progress.round(f"chain {c}, {arm.name}, round {k}", record)

        found = loop.run_chain(
            key,
            choice,
            [arm.generated] * arm.rounds,
            started=started,
            folder=self._where(c, arm.name),
            identity=self._identity,
            watch=watch,
        )
        self._progress.spared(arm.rounds - len(seen))
        return found

    def _where(self, c: int, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"chain-{c}" / name


class _Shared:
    """A task that answers once where several arms ask the same model for the same answers, as in round 1."""

    def __init__(self, task_of: task.TextTask):
        self.task = task_of
        self._told: tuple[Any, bytes, Any] = None, b"", None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def generate(self, key: jax.Array, model: Any, count: int) -> Any:
        """As the task's own, which depends on nothing else; the last answers are kept."""
        mark = np.asarray(jax.random.key_data(key)).tobytes() + count.to_bytes(8, "little")
        if self._told[0] is not model or self._told[1] != mark:
            self._told = model, mark, self.task.generate(key, model, count)
        return self._told[2]


def disk_bytes(config: Config, parameters: int) -> int:
    """Most that is on disk at once: each arm keeps its last rounds, and writes one more."""
    saved = 1 + config.weak + (checkpoints.KEPT + 1) * sum(not arm.mixed for arm in config.arms)
    return config.chains * saved * parameters * FLOAT


def _selection(arm: Arm) -> Any:
    return selection.Everything() if arm.verifier == "none" else selection.top_share(arm.share)


def _identity(config: Config, source: Source) -> str:
    """What a saved round must share with this run to be gone on from: not the number of chains, nor the other arms.

    Files of texts and of a model may have been changed under their names.
    """
    settings = dataclasses.asdict(dataclasses.replace(config, folder="", chains=0, arms=()))
    del settings["fewer"]  # its numbers are there
    if not config.continuing:
        del settings["continuing"]  # rounds that were saved before there was the option are gone on from
    if config.data != MADE:
        settings |= {"texts": digest((source.rows, source.held_out)), "weights": digest(source.base)}
    return json.dumps(settings | {"jax": jax.__version__, "backend": jax.default_backend()})
