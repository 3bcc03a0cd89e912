"""Configurations: every field, every choice, overrides, round trips, and what is refused."""

import dataclasses
import inspect
import tomllib

import numpy as np
import pytest

import simcollapse as sc
from simcollapse import engine, schedules
from simcollapse.runs import config as configs

LEAST = {
    "task": {"name": "gaussian", "mean": [0.0, 1.0]},
    "n_real": 20,
    "n_per_round": 20,
    "rounds": 2,
    "chains": 4,
}
FULL = """
n_real = 20
n_per_round = {name = "linear_growth", start = 10, increment = 5}
rounds = 2
chains = 4
seed = 3
fixed = "kept"
rejected = "resample"
max_tries = 50
audit = false
engine = "sample"
record = "summary"
record_model = true
quantiles = [0.1, 0.9]
common_noise = true
room = 40
block_size = 16
float64 = true

[task]
name = "gaussian_mixture"
means = [1.5, 0.0]
penalty = 0.1
generator = {name = "flips", p = 0.3}

[verifier]
name = "confidence"
share = 0.6
by = {name = "linear", angle = 0.3, alignment = "opposite"}

[workflow]
name = "accumulate_subsample"
size = 30

[over]
verifier.by.angle = [0.1, 0.2]
verifier.share = [0.6, 0.7]
"""


def accept_all(key, batch, model):
    return np.ones(len(batch.y), bool)


def far_ball(radius):
    return sc.knowledge_ball(bias=5.0, radius=radius)


def gauss():
    return sc.gaussian([0.0, 1.0])


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_fields_are_the_arguments_of_sweep():
    swept = inspect.signature(sc.sweep).parameters
    fields = {field.name: field for field in dataclasses.fields(configs.Config)}
    assert set(fields) - {"float64"} == set(swept) - {"memory_bytes", "devices", "progress"}
    for name, field in fields.items():
        default = swept[name].default if name in swept else field.default
        if default is not inspect.Parameter.empty and name != "engine":  # "auto" where nobody looks on
            assert field.default == default, name


def test_every_field_is_read_and_passed_on(write):
    config = configs.read(write(FULL))
    for field in dataclasses.fields(configs.Config):
        assert getattr(config, field.name) != field.default, field.name
    made = configs.arguments(config)
    assert made["n_per_round"] == schedules.linear_growth(10, 5)
    assert isinstance(made["task"], sc.GaussianMixture)
    assert isinstance(made["task"].generator, type(sc.flips(0.3)))
    assert isinstance(made["verifier"].by, type(sc.linear(angle=0.3)))
    assert made["workflow"].size == 30
    assert made["over"] == {"verifier.by.angle": [0.1, 0.2], "verifier.share": [0.6, 0.7]}
    plain = {
        "fixed": "kept",
        "rejected": "resample",
        "max_tries": 50,
        "audit": False,
        "engine": "sample",
        "record": "summary",
    }
    plain |= {
        "record_model": True,
        "quantiles": [0.1, 0.9],
        "common_noise": True,
        "room": 40,
        "block_size": 16,
        "seed": 3,
    }
    assert {name: made[name] for name in plain} == plain


@pytest.mark.parametrize("text", [FULL, ""], ids=["full", "least"])
def test_resolved_and_written_and_read_again_is_the_same(write, text):
    config = configs.read(write(text)) if text else configs.from_table(LEAST)
    plain = configs.resolved(config)
    again = configs.read(write(configs.to_toml(plain)))
    assert configs.resolved(again) == plain
    assert configs.differences(configs.resolved(again), plain) == []
    assert plain["task"]["name"] and plain["workflow"]["name"] and plain["verifier"]["name"]
    assert set(plain) == {f.name for f in dataclasses.fields(configs.Config)} - (
        set() if text else {"room", "block_size", "float64"}
    )


def test_defaults_of_choices_are_written_out():
    plain = configs.resolved(
        configs.from_table(LEAST | {"verifier": {"name": "knowledge_ball", "radius": 1.0}})
    )
    assert plain["verifier"]["slack"] == inspect.signature(sc.knowledge_ball).parameters["slack"].default
    named = configs.from_table(LEAST | {"workflow": "accumulate"})
    table = configs.from_table(LEAST | {"workflow": {"name": "accumulate"}})
    assert configs.resolved(named) == configs.resolved(table)


def test_overrides_go_into_numbers_tables_words_and_lists(write):
    text = configs.to_toml(LEAST)
    words = [
        "chains=9",
        "task.mean=[1.0, 2.0]",
        "workflow=accumulate",
        "over.n_real=[20, 30]",
        "record='summary'",
    ]
    config = configs.read(write(text), [*words, "verifier=oracle", "verifier.rate=0.1"])
    assert (config.chains, config.task["mean"], config.workflow) == (9, [1.0, 2.0], "accumulate")
    assert (config.over, config.record) == ({"n_real": [20, 30]}, "summary")
    assert config.verifier == {"name": "oracle", "rate": 0.1}


@pytest.mark.parametrize("words", ["chains", "=3", "chains.a=3", "n_real.b.c=1"])
def test_an_override_without_a_place_is_refused(write, words):
    with pytest.raises(ValueError, match="override"):
        configs.read(write(configs.to_toml(LEAST)), [words])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chain": 3}, "unknown key 'chain'.*'chains'"),
        ({"task": {"name": "gausian", "mean": [0.0]}}, "Did you mean 'gaussian'"),
        ({"task": {"name": "gaussian", "meen": [0.0]}}, "task has an unknown key 'meen'.*'mean'"),
        (
            {"verifier": {"name": "knowledge_ball", "raduis": 1.0}},
            "verifier has an unknown key 'raduis'.*'radius'",
        ),
        ({"verifier": {"name": "confidence", "share": 0.6, "by": {"name": "lineer"}}}, "'linear'"),
        ({"workflow": "acumulate"}, "'accumulate'"),
        ({"n_per_round": {"name": "linear_grwth", "start": 1, "increment": 1}}, "'linear_growth'"),
        ({"over": {"workflow": ["replce"]}}, "'replace'"),
        (
            {"verifier": {"name": "no_such_module:thing"}},
            "verifier.name 'no_such_module:thing' cannot be imported",
        ),
        ({"verifier": {"name": "math:no_such_thing"}}, "cannot be imported"),
    ],
)
def test_an_unknown_word_names_the_nearest(change, words):
    with pytest.raises(ValueError, match=words):
        configs.arguments(configs.from_table(LEAST | change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": {"name": "gaussian"}}, "task lacks"),
        ({"task": {"mean": [0.0]}}, "task must be a table with a name"),
        ({"task": 3}, "task must be a name, or a table with a name and arguments, got 3"),
        ({"verifier": True}, "verifier must be a name, or a table"),
        ({"workflow": ["replace"]}, "workflow must be a name, or a table"),
        ({"over": {"workflow": [3]}}, "workflow must be a name, or a table"),
        ({"task": {"name": "gaussian", "mean": "a"}}, "^task: mean must be a number or an array"),
        ({"over": [1, 2]}, "over must be a table"),
        ({"over": {"n_real": 30}}, "over.n_real must be a list"),
        ({"over": {"workflow": "replace"}}, "over.workflow must be a list"),
        ({"over": {"seed": 1}}, r"over.seed must be a list .*stands above \[over\]"),
        ({"common_noise": 1}, "common_noise must be true or false"),
        ({"record_model": "yes"}, "record_model must be true or false"),
        ({"float64": 1}, "float64 must be true or false"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(change, words):
    with pytest.raises(TypeError, match=words):
        configs.arguments(configs.from_table(LEAST | change))


@pytest.mark.parametrize(
    "over",
    [
        {"workflow": ["replace", {"name": "replace"}]},
        {"workflow": [{"name": "accumulate_subsample"}, "replace", "accumulate_subsample"]},
        {"verifier": ["none", {"name": "none"}]},
        {"n_per_round": [20, {"name": "linear_growth", "start": 20, "increment": 0}]},
    ],
)
def test_equal_values_of_an_axis_are_refused_however_they_are_written(over):
    with pytest.raises(ValueError, match=r"must have values that differ, got .* for more chains of a cell"):
        engine.prepare(**configs.arguments(configs.from_table(LEAST | {"over": over})))


@pytest.mark.parametrize("name", ["task", "n_real", "n_per_round", "rounds", "chains"])
def test_a_missing_key_is_named(name):
    with pytest.raises(TypeError, match=f"config lacks {name}"):
        configs.from_table({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize("text", ["chains = ", "chains = 1\nchains = 2", "\xff"])
def test_what_is_no_toml_is_refused(tmp_path, text):
    (tmp_path / "config.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="is not a TOML file"):
        configs.read(tmp_path / "config.toml")


def test_functions_of_the_users_own():
    here = __name__
    made = configs.arguments(
        configs.from_table(
            LEAST | {"task": {"name": f"{here}:gauss"}, "verifier": {"name": f"{here}:accept_all"}}
        )
    )
    assert isinstance(made["task"], sc.Gaussian)
    assert made["verifier"] is accept_all
    table = {"name": f"{here}:far_ball", "radius": 2.0}
    made = configs.arguments(configs.from_table(LEAST | {"verifier": table}))
    assert float(made["verifier"].radius) == 2.0


def test_ready_made_choices_pass_and_their_numbers_count():
    def resolved(ball):
        config = configs.from_table(LEAST | {"verifier": ball, "workflow": sc.accumulate()})
        assert configs.arguments(config)["verifier"] is ball
        return configs.resolved(config)

    rows = np.arange(20.0)
    one = resolved(sc.region(rows, rows + 1))
    assert one == resolved(sc.region(rows, rows + 1))
    rows[13] += 1e-9  # not seen in print
    other = resolved(sc.region(rows, rows + 1))
    assert one["verifier"]["object"] == other["verifier"]["object"]
    assert configs.differences(one, other) == [
        f"verifier.digest: {one['verifier']['digest']!r} -> {other['verifier']['digest']!r}"
    ]
    assert tomllib.loads(configs.to_toml(one)) == one


def test_functions_are_told_apart_by_their_code_and_what_they_hold():
    def near(limit):
        return lambda key, batch, model: abs(batch.y) < limit

    def far(limit):
        return lambda key, batch, model: abs(batch.y) > limit

    def digest(function):
        return configs.resolved(configs.from_table(LEAST | {"verifier": function}))["verifier"]["digest"]

    assert digest(near(1.0)) == digest(near(1.0))
    assert len({digest(f) for f in (near(1.0), near(2.0), near(np.ones(2)), far(1.0))}) == 4


def test_differences_name_each_value():
    one = configs.resolved(configs.from_table(LEAST))
    other = configs.resolved(
        configs.from_table(LEAST | {"chains": 5, "block_size": 32, "workflow": "accumulate"})
    )
    assert configs.differences(one, other) == [
        "workflow.name: 'replace' -> 'accumulate'",
        "chains: 4 -> 5",
        "block_size: '(none)' -> 32",
    ]
    assert configs.differences({"a": 1, "b": float("nan")}, {"a": 1.0, "b": float("nan")}) == []
