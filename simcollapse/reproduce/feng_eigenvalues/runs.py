"""The runs under the picture: generators, verifiers, every arm of every chain; resumed where a run stopped."""

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
from simcollapse.neural.eigen import matrices, models, numbers, task, verifiers
from simcollapse.neural.progress import Progress
from simcollapse.neural.selection import threshold, top_share
from simcollapse.neural.settings import neural_settings
from simcollapse.neural.training import training
from simcollapse.reproduce.feng_eigenvalues.settings import ArmSettings, Config

# Keys of one chain: the other model, the beam, and the answers on which verifiers are measured.
OTHER, BEAM, AUDIT = range(3)
LEAST = (
    0.01  # accuracy that decides how many answers are generated: a generator that is never right must end too
)


def runs(config: Config) -> xr.Dataset:
    """Metrics and audit by (arm, chain, round), NaN where an arm stopped earlier.

    beam_greedy, beam_likelihood, beam_oracle (chain): accuracy of the generator's greedy answer, of the most probable
    of its beam, and of the best. verifier_phi, verifier_psi, verifier_p_star (verifier, chain): of verifiers without
    truth.
    """
    with neural_settings(), checkpoints.alone(config.folder):
        return _Run(config).dataset()


def build(config: Config, precision: str | None = None) -> task.EigenTask:
    """The task of a configuration."""
    p, m, f = config.problem, config.model, config.fit
    encoding = numbers.encoding(p.encoding, p.digits, lowest=p.lowest, highest=p.highest)
    problem = matrices.problem(
        p.size, encoding, entries=p.entries, scale=p.scale, tolerance=p.tolerance, norm=p.norm
    )
    task.decoding("beam", config.beam, vocabulary=encoding.vocabulary)
    given: dict[str, Any] = dataclasses.asdict(m) | ({"precision": precision} if precision else {})
    sizes = models.sizes(problem, **given)
    how = training(
        f.max_steps,
        check_every=f.check_every,
        patience=f.patience,
        batch=f.batch,
        learning_rate=f.learning_rate,
        held_out=f.held_out,
    )
    optimizer = task.optimizer(
        f.learning_rate, steps=f.max_steps, warmup=f.warmup, accumulation=f.accumulation
    )
    family = task.translators(sizes, how, optimizer)
    return task.eigen_task(family, problem, n_real=config.n_real, held_out=config.held_out)


def generated(arm: ArmSettings, accuracy: float) -> int:
    """Answers to generate so that on average `arm.amount` pass, with a generator of this accuracy."""
    accuracy, psi = max(accuracy, LEAST), 1 / arm.p_star - 1
    return round(arm.amount / (accuracy + (1 - accuracy) * psi))


class _Run:
    """What the chains of one run share."""

    def __init__(self, config: Config):
        self._config = config
        self._task = build(config)
        told = f"at most {config.budget:,} optimiser steps in {config.fits} fits"
        print(told, file=sys.stderr, flush=True)
        self._progress = Progress(config.fits)
        self._folder = Path(config.folder) if config.folder else None
        self._identity = _identity(config)

    def dataset(self) -> xr.Dataset:
        config = self._config
        chains = [self._chain(c) for c in range(config.chains)]
        tables = {arm.name: [loop.table(chain[0][arm.name]) for chain in chains] for arm in config.arms}
        names = dict.fromkeys(n for one in tables.values() for t in one for n in t)
        data = xr.Dataset(
            {
                name: (
                    ("arm", "chain", "round"),
                    loop.stacked(list(tables.values()), name, config.rounds),
                    results.describe(name, task.DESCRIPTIONS),
                )
                for name in names
            },
            coords={
                "arm": [arm.name for arm in config.arms],
                "chain": np.arange(config.chains),
                "round": np.arange(config.rounds + 1),
                **{
                    f"arm_{field}": ("arm", [getattr(arm, field) for arm in config.arms])
                    for field in ("p_star", "amount", "workflow", "rounds")
                },
                "verifier": list(VERIFIERS),
            },
        )
        for name in ("greedy", "likelihood", "oracle"):
            data[f"beam_{name}"] = "chain", np.array([chain[1][f"beam_{name}"] for chain in chains])
        for rate in ("phi", "psi", "p_star"):
            values = [[chain[1][f"{v}_{rate}"] for chain in chains] for v in VERIFIERS]
            data[f"verifier_{rate}"] = ("verifier", "chain"), np.array(values)
        data.attrs.update(
            config=json.dumps(dataclasses.asdict(dataclasses.replace(config, folder=""))),
            budget=config.budget,
            backend=jax.default_backend(),
            device=jax.devices()[0].device_kind,
            jax=jax.__version__,
        )
        return data

    def _chain(self, c: int) -> tuple[dict[str, list[loop.Record]], loop.Record]:
        """Records of every arm, and what is measured of the generator. Arms share round 0 and all noise."""
        key = keys.chain_key(keys.root(self._config.seed), jnp.zeros(0, dtype=jnp.int32), jnp.int32(c))
        key_own = jax.random.fold_in(key, 2**31 - 1)  # a round that no chain reaches
        started = self._start(key, c, "real")
        other = self._start(keys.for_purpose(key_own, OTHER), c, "other")
        looks = self._looks(key_own, started[0].model, other[0].model, c)
        return {arm.name: self._retrained(key, started, c, arm) for arm in self._config.arms}, looks

    def _start(self, key, c, name):
        """A model of real examples, fitted or as it was saved."""
        folder = self._where(c, name)
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            self._progress.spared(1)
            pool = pools.Pool(**saved.state["pool"])
            return loop.State(**(saved.state | {"pool": pool})), saved.records[0]
        state, record = loop.start(key, self._task)
        if folder is not None:
            kept = state._replace(pool=state.pool._asdict())._asdict()
            checkpoints.save(folder, 0, kept, [record], self._identity)
        self._progress.round(f"chain {c}, {name} examples", record)
        return state, record

    def _looks(self, key, model, other, c) -> loop.Record:
        """Table 1 of the generator, and the rates of verifiers that know no truth on its answers."""
        folder = self._where(c, "looks")
        saved = None if folder is None else checkpoints.latest(folder, self._identity)
        if saved is not None:
            return saved.records[0]
        record = self._beams(keys.for_purpose(key, BEAM), model)
        record |= self._audits(keys.for_purpose(key, AUDIT), model, other)
        if folder is not None:
            checkpoints.save(folder, 0, {"done": np.asarray(True)}, [record], self._identity)
        return record

    def _beams(self, key, model):
        config, problem, family = self._config, self._task.problem, self._task.family
        rows = problem.rows(keys.root(task.HELD_OUT_SEED), config.beam_matrices)
        greedy, _ = family.decode(key, model, rows["source"], task.decoding())
        beam, _ = family.decode(key, model, rows["source"], task.decoding("beam", config.beam))
        repeated = np.repeat(rows["source"], config.beam, axis=0)
        correct = problem.correct({"source": repeated, "target": beam.reshape(len(repeated), -1)})
        correct = correct.reshape(-1, config.beam)
        return {
            "beam_greedy": float(problem.correct(rows | {"target": greedy[:, 0]}).mean()),
            "beam_likelihood": float(correct[:, 0].mean()),
            "beam_oracle": float(correct.any(axis=1).mean()),
        }

    def _audits(self, key, model, other):
        config, mine = self._config, self._task
        key_generate, key_verify = jax.random.split(key)
        rows = mine.generate(key_generate, model, config.audited)
        correct = mine.correct(rows)
        record = {}
        for name, (make, choose) in VERIFIERS.items():
            scores = make(mine, other).score(key_verify, rows, model)
            kept = choose(config).keep(scores, mine.groups(rows))
            phi, psi = _share(kept, correct), _share(kept, ~correct)
            record |= {f"{name}_phi": phi, f"{name}_psi": psi, f"{name}_p_star": _ratio(phi, phi + psi)}
        return record

    def _retrained(self, key, started, c, arm: ArmSettings):
        problem = self._task.problem
        # With p* = 1/2 every answer passes.
        choice = loop.Arm(
            task=self._task,
            verifier=verifiers.noisy_oracle(problem, arm.p_star) if arm.p_star > 0.5 else None,
            selection=threshold(0.5) if arm.p_star > 0.5 else selection.Everything(),
            workflow=workflows.KNOWN[arm.workflow](),
        )
        seen = []

        def watch(k, record):
            if k:
                seen.append(k)
                self._progress.round(f"chain {c}, p* = {arm.p_star:g}, {arm.name}, round {k}", record)

        found = loop.run_chain(
            key,
            choice,
            [generated(arm, started[1]["accuracy"])] * arm.rounds,
            started=started,
            folder=self._where(c, arm.name),
            identity=self._identity,
            watch=watch,
        )
        self._progress.spared(arm.rounds - len(seen))
        return found

    def _where(self, c: int, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"chain-{c}" / name


# Verifiers without truth: how each is made of (task, other model), and what it keeps.
VERIFIERS: dict[str, tuple[Any, Any]] = {
    "trace": (
        lambda mine, other: verifiers.TraceCheck(mine.problem),
        lambda config: threshold(-config.problem.tolerance),
    ),
    "agreement": (
        lambda mine, other: verifiers.Agreement(mine.problem, mine.family, other),
        lambda config: threshold(-config.problem.tolerance),
    ),
    "perplexity": (
        lambda mine, other: verifiers.Likelihood(mine.family),
        lambda config: top_share(config.share),
    ),
}


def _share(kept: np.ndarray, among: np.ndarray) -> float:
    return _ratio(float((kept & among).sum()), float(among.sum()))


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("nan")


def _identity(config: Config) -> str:
    """What a saved round must share with this run to be gone on from: not the number of chains or arms."""
    settings = dataclasses.asdict(dataclasses.replace(config, folder="", chains=0, arms=()))
    return json.dumps(settings | {"jax": jax.__version__, "backend": jax.default_backend()})
