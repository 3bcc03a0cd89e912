"""Is this installation sound? Precision, random numbers, determinism, and theory against simulation, in under a minute.

    simcollapse selftest [--json]

Backends differ: in the arithmetic of matrix products, in subnormal numbers, in how they draw. Every check comes with
an error that it must see when it is planted, which the tests do.
"""

import concurrent.futures
import time
from collections.abc import Iterable
from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.table

from simcollapse.selftest import against_theory, determinism, precision, random_numbers
from simcollapse.selftest.check import FAIL, FALSE_ALARM, MISS, NOTE, Check, Measurement, Outcome, made

CHECKS: tuple[Check, ...] = (
    precision.PRODUCTS,
    precision.DOUBLE,
    precision.SUBNORMAL,
    random_numbers.UNIFORMS,
    random_numbers.NORMALS,
    random_numbers.NEIGHBOURS,
    determinism.BITS,
    against_theory.VERIFIED,
    against_theory.UNVERIFIED,
    against_theory.COLLAPSE,
    against_theory.DIVERSITY,
    against_theory.STEP,
)

_COLOURS = {FAIL: "bold red", NOTE: "cyan"}


def run(checks: Iterable[Check] = CHECKS) -> list[Outcome]:
    """The outcome of each check, in order; two at a time, since most of the time is compiling on one core."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(made, checks))


def main_run(json: bool = False) -> int:
    """Run all checks, print them, and return the exit code: 0 when none failed, else 1. The command's body."""
    begin = time.perf_counter()
    outcomes = run()
    elapsed_s = time.perf_counter() - begin
    good = all(outcome.good for outcome in outcomes)
    if json:
        from simcollapse.cli.files import write_json

        write_json(as_dict(outcomes) | {"elapsed_s": elapsed_s})
    else:
        console = rich.console.Console()
        if not console.is_terminal:
            console.width = max(console.width, 130)  # a file or a pipe has room for a line a measurement
        console.print(table(outcomes))
        for line in _summary(outcomes, elapsed_s):
            console.print(line, markup=False, highlight=False)
    return 0 if good else 1


def setting() -> dict[str, Any]:
    """The device, the float type and the generator that were tested."""
    import jax
    import jax.numpy as jnp

    from simcollapse import keys

    devices = jax.local_devices()
    return {
        "backend": jax.default_backend(),
        "devices": [f"{d.platform}:{d.id} {d.device_kind}" for d in devices],
        "jax_version": jax.__version__,
        "dtype": str(jnp.zeros(()).dtype),
        "matmul_precision": getattr(jax.config, "jax_default_matmul_precision"),  # noqa: B009 (no stub knows it)
        "key_implementation": keys.IMPLEMENTATION,
    }


def as_dict(outcomes: list[Outcome]) -> dict[str, Any]:
    """The outcomes in plain types, for JSON: numbers that are not finite become words."""
    return {
        "good": all(outcome.good for outcome in outcomes),
        "false_alarm": FALSE_ALARM,
        "miss": MISS,
        "setting": setting(),
        "checks": [
            {
                "name": outcome.check.name,
                "good": outcome.good,
                "error": outcome.error,
                "elapsed_s": outcome.elapsed_s,
                "measurements": [_plain(m) for m in outcome.measurements],
            }
            for outcome in outcomes
        ],
    }


def _plain(m: Measurement) -> dict[str, Any]:
    finite = abs(m.measured) < float("inf")
    return m._asdict() | {"measured": m.measured if finite else str(m.measured), "verdict": m.verdict}


def table(outcomes: list[Outcome]) -> rich.table.Table:
    """One row a measurement: what, how much, how much is allowed, the verdict, and what it could have seen."""
    found = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    found.add_column("check", min_width=30)
    for column in ("measured", "allowed"):
        found.add_column(column, justify="right", no_wrap=True)
    found.add_column("verdict", no_wrap=True)
    found.add_column("")
    for outcome in outcomes:
        for m in outcome.measurements:
            allowed = "" if m.allowed is None else f"{m.allowed:.3g}"
            found.add_row(
                rich.markup.escape(m.what),
                f"{m.measure} {m.measured:.3g}".strip(),
                allowed,
                f"[{_COLOURS.get(m.verdict, 'green')}]{m.verdict}[/]",
                rich.markup.escape(m.words),
            )
        if outcome.error:
            found.add_row(
                rich.markup.escape(outcome.check.name),
                "",
                "",
                f"[{_COLOURS[FAIL]}]{FAIL}[/]",
                rich.markup.escape(f"broke: {outcome.error}"),
            )
    return found


def _summary(outcomes: list[Outcome], elapsed_s: float) -> Iterable[str]:
    failing = [outcome.check.name for outcome in outcomes if not outcome.good]
    about = setting()
    yield (
        f"{', '.join(about['devices'])}; {about['dtype']}, keys {about['key_implementation']}, "
        f"jax {about['jax_version']}; {elapsed_s:.0f} s"
    )
    yield (
        f"A sound installation fails with a chance below {FALSE_ALARM:g}; an error of the size that a line says it "
        f"sees goes unseen with one below {MISS:g}."
    )
    yield f"NOT sound: {', '.join(failing)}" if failing else f"sound: {len(outcomes)} checks passed"


__all__ = ["CHECKS", "Check", "Measurement", "Outcome", "as_dict", "main_run", "run", "setting", "table"]
