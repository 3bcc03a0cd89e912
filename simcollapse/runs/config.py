"""What a run is asked to do: a TOML file, or the same from Python, resolved to the last default.

    n_real = 25
    n_per_round = 500
    rounds = 30
    chains = 2000

    [task]
    name = "linear_regression"
    truth = [1.0, -1.0]

    [verifier]
    name = "knowledge_ball"
    radius = 1.0

    [over]
    verifier.radius = [0.5, 1.0]
    workflow = ["replace", "accumulate"]

A table with a `name` is a call of the function of that name with the other keys as arguments; the name alone does for
a call without any. "package.module:function" names a function of the user's own.
"""

import dataclasses
import hashlib
import importlib
import inspect
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from simcollapse import named, schedules, strict, tasks, verifiers, workflows
from simcollapse.checks import check_choice, check_keys

Maker = Callable[..., Any]

OUTER: dict[str, Mapping[str, Maker]] = {
    "task": tasks.KNOWN,
    "verifier": verifiers.KNOWN,
    "workflow": workflows.KNOWN,
}
INNER: dict[str, Maker] = {  # may stand inside the others
    "flips": tasks.flips,
    "linear_labels": tasks.linear_labels,
    "fresh_linear_labels": tasks.fresh_linear_labels,
    "fitted": tasks.fitted,
    "linear_growth": schedules.linear_growth,
    "geometric_growth": schedules.geometric_growth,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment, with the arguments of `simcollapse.sweep`, which describes them.

    Choices are tables, names, or (from Python) ready made; so are swept ones in `over`.
    """

    task: Any
    verifier: Any = "none"
    workflow: Any = "replace"
    n_real: int
    n_per_round: Any
    rounds: int
    chains: int
    seed: int = 0
    over: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: str = "generated"
    rejected: str = "drop"
    max_tries: int = 1000
    audit: bool = True
    engine: str = "auto"
    record: str = "chains"
    record_model: bool = False
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)
    common_noise: bool = False
    room: int | None = None
    block_size: int | None = None
    float64: bool | None = (
        None  # double precision or single; None for what JAX is set to (command line: double)
    )


def read(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a TOML file, with `overrides` such as "chains=100" or "verifier.radius=0.5" put in.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key (the nearest known is named), or an override without "=".
        TypeError: a missing key.
    """
    table = strict.read_toml(path)
    for override in overrides:
        _override(table, override)
    return from_table(table)


def from_table(table: Mapping[str, Any]) -> Config:
    """The configuration of a mapping with the fields of `Config` as keys.

    Raises:
        ValueError: an unknown key; the nearest known is named.
        TypeError: a missing key.
    """
    strict.check_table(Config, table, "config")
    return Config(**table)


def _override(table: dict[str, Any], words: str) -> None:
    path, equals, text = words.partition("=")
    if not equals or not path.strip():
        raise ValueError(f"an override must look like chains=100, got {words!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a word without quotes
    *tables, last = path.strip().split(".")
    for i, key in enumerate(tables):
        inner = table.setdefault(key, {})
        if isinstance(inner, str) and key in OUTER:  # a name alone gets arguments
            inner = table[key] = {"name": inner}
        if not isinstance(inner, dict):
            raise ValueError(
                f"override {words!r}: {'.'.join(tables[: i + 1])} is {inner!r} and has no {last!r}"
            )
        table = inner
    table[last] = value


def arguments(config: Config) -> dict[str, Any]:
    """The keyword arguments of `simcollapse.sweep`, its choices made.

    Raises:
        ValueError: an unknown name or argument of a choice (the nearest known is named), or a value out of range.
        TypeError: a value of the wrong kind, or an argument that a choice needs and lacks.
    """
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    del given["float64"]
    for name in OUTER:
        given[name] = _made(given[name], name)
    given["n_per_round"] = _made(given["n_per_round"], "n_per_round")
    for name in ("audit", "record_model", "common_noise", "float64"):
        if not isinstance(getattr(config, name), bool | None):
            raise TypeError(f"{name} must be true or false, got {getattr(config, name)!r}")
    over = {}
    for path, values in _flat(config.over, "over").items():
        if (
            isinstance(values, Mapping)
            or isinstance(values, str)
            or not isinstance(values, Sequence | np.ndarray)
        ):
            above = " (a key of the config itself stands above [over])" if path in given else ""
            raise TypeError(f"over.{path} must be a list of values, got {values!r}{above}")
        over[path] = [_swept(value, path) for value in values]
    given["over"] = over
    return given


def _swept(value: Any, path: str) -> Any:
    """A swept value; the name of a workflow stays a name, which labels the result."""
    if path == "workflow" and isinstance(value, str):
        check_choice("over.workflow", value, workflows.BARE)
        return value
    return _made(value, path)


def _made(value: Any, place: str) -> Any:
    """`value`, which stands at the dotted `place`, with tables that have a name turned into what they describe."""
    known = _known(place)
    if isinstance(value, str) and (place in OUTER or (value in INNER and "." in place)):
        value = {"name": value}
    if not isinstance(value, Mapping):
        if place in OUTER and isinstance(
            value, bool | int | float | list
        ):  # as a file may hold; no ready made choice
            raise TypeError(f"{place} must be a name, or a table with a name and arguments, got {value!r}")
        return value
    if "name" not in value:
        raise TypeError(f"{place} must be a table with a name, got {dict(value)!r}")
    name = value["name"]
    given = {key: _made(inner, f"{place}.{key}") for key, inner in value.items() if key != "name"}
    if isinstance(name, str) and ":" in name:
        return _imported(name, place, given)
    check_choice(f"{place}.name", name, known)
    parameters = inspect.signature(known[name]).parameters
    needed = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    check_keys(place, given, parameters, needed)
    try:
        return known[name](**given)
    except (TypeError, ValueError) as error:
        if str(error).startswith(place):
            raise
        kind = (
            TypeError if isinstance(error, TypeError) else ValueError
        )  # its words do not say where in the file
        raise kind(f"{place}: {error}") from error


def _known(place: str) -> Mapping[str, Maker]:
    """What may stand at a place; inside a verifier also verifiers."""
    return OUTER.get(place) or (INNER | verifiers.KNOWN if place.startswith("verifier.") else INNER)


def _imported(name: str, place: str, given: Mapping[str, Any]) -> Any:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{place}.name {name!r} cannot be imported: {error}") from None
    # a verifier may be the function itself, a task or a workflow is what a function makes
    return found(**given) if given or (place in ("task", "workflow") and callable(found)) else found


def _flat(table: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Nested tables by dotted path."""
    if not isinstance(table, Mapping):
        raise TypeError(f"{place} must be a table of lists by path, got {table!r}")
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, Mapping) and "name" not in value
        flat |= (
            {f"{key}.{k}": v for k, v in _flat(value, f"{place}.{key}").items()} if inner else {key: value}
        )
    return flat


def resolved(config: Config) -> dict[str, Any]:
    """Plain values that TOML and JSON can hold: every field, every default of a choice; what decides the result.

    A choice that was ready made becomes its words and a digest of all its numbers and code.
    """
    out = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "over":
            out["over"] = {
                path: [_plain(v, path) for v in values] for path, values in _flat(value, "over").items()
            }
        elif value is not None:
            out[field.name] = _plain(value, field.name)
    return out


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, str) and place in OUTER:
        value = {"name": value}
    if isinstance(value, Mapping):
        return _with_defaults({key: _plain(v, f"{place}.{key}") for key, v in value.items()}, place)
    if (
        isinstance(value, np.ndarray | np.generic)
        or hasattr(value, "__jax_array__")
        or hasattr(value, "addressable_data")
    ):
        return np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return [_plain(v, place) for v in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return {"object": named.repr_short(value), "digest": _digest(value)}


def _with_defaults(table: dict[str, Any], place: str) -> dict[str, Any]:
    """`table` with the arguments that its maker would take by default, where they are plain values."""
    name = table.get("name")
    maker = _known(place).get(name) if isinstance(name, str) else None
    if maker is None:
        return table
    defaults = {n: p.default for n, p in inspect.signature(maker).parameters.items() if n not in table}
    plain = {n: v for n, v in defaults.items() if isinstance(v, str | bool | int | float)}
    return {key: value for key, value in (table | plain).items() if value is not None}


def _digest(value: Any) -> str:
    """Changes with any number of a choice, and with the source of a function."""
    import jax

    digest = hashlib.sha256()
    leaves, structure = jax.tree.flatten(value)
    digest.update(str(structure).encode() if dataclasses.is_dataclass(value) else b"")
    for leaf in leaves:
        if callable(leaf):
            digest.update(_words_of(leaf).encode())
        else:
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _words_of(function: Callable) -> str:
    """Source of a function, and the numbers and words that it holds from where it was made."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        held = inspect.getclosurevars(function).nonlocals
    except (TypeError, ValueError):
        held = {}
    plain = {
        name: np.asarray(value).tolist()
        for name, value in held.items()
        if isinstance(value, str | bool | int | float) or hasattr(value, "__array__")
    }
    return f"{source}{plain}"


def to_toml(plain: Mapping[str, Any]) -> str:
    """What `resolved` returned as a TOML text; reading it gives the same again."""
    scalars = {key: value for key, value in plain.items() if not isinstance(value, Mapping)}
    return tomli_w.dumps(scalars | {key: value for key, value in plain.items() if isinstance(value, Mapping)})


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for each value in which two resolved configurations differ, such as "chains: 100 -> 200"."""
    one, other = _leaves(before), _leaves(now)
    absent = "(none)"
    return [
        f"{path}: {one.get(path, absent)!r} -> {other.get(path, absent)!r}"
        for path in dict.fromkeys([*one, *other])
        if not _same(one.get(path, absent), other.get(path, absent))
    ]


def _same(one: Any, other: Any) -> bool:
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers):
        return one == other or (math.isnan(one) and math.isnan(other))
    return one == other


def _leaves(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
