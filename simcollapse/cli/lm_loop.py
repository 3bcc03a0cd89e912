"""`simcollapse lm-loop`: retraining rounds of a user's own language model, watched."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import tyro


@dataclasses.dataclass(kw_only=True)
class LmLoop:
    """Run rounds of generate, verify, fine-tune on your own checkpoint, prompts and verifier program; the same command
    goes on where it was left. `simcollapse audit OUT/decisions.jsonl --round round` reads what it writes."""

    float64: ClassVar[bool] = False
    config: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG.toml")]
    """What to run; docs/language.md describes it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The run's folder. Without this: runs/ and the name of the file."""
    dry_run: bool = False
    """Say what it would take (parameters, rows, tokens, memory, disk) and stop."""

    def run(self) -> int:
        from simcollapse.neural.language import pipeline
        from simcollapse.neural.language.pipeline.records import DECISIONS, METRICS

        settings = pipeline.read(self.config)
        out = self.out or Path("runs") / self.config.stem
        if self.dry_run:
            return _print_needs(settings)
        run = pipeline.run_seeds if settings.seeds else pipeline.run
        run(settings, out, lambda words: print(words, file=sys.stderr, flush=True))
        by = "--group seed" if len(settings.seeds) > 1 else "--round round"
        print(f"metrics in {out / METRICS}; next: simcollapse audit {out / DECISIONS} {by}")
        return 0


def _print_needs(settings) -> int:
    from simcollapse.neural.language import pipeline
    from simcollapse.neural.language.pipeline.materials import materials
    from simcollapse.neural.settings import neural_settings

    seeds = len(settings.seeds) or 1
    with neural_settings():
        made_of = materials(dataclasses.replace(settings, seed=(settings.seeds or (settings.seed,))[0]))
        need = pipeline.needs(settings, made_of)
    for words in made_of.told:
        print(words)
    print(
        f"{need.parameters:,} parameters; {need.memory_bytes / 1e9:.3g} GB for them, gradients and optimizer, "
        "activations apart"
    )
    print(f"{need.answers:,} answers of at most {made_of.most} tokens in {settings.rounds} rounds")
    print(f"the largest fit has up to {need.fit_rows:,} rows, {need.fit_tokens:,} tokens a pass")
    print(f"up to {need.disk_bytes / 1e9:.3g} GB on disk")
    if seeds > 1:
        print(f"{seeds} seeds, one after the other: answers, fits and disk {seeds} times")
    return 0
