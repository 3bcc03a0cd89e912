"""Promises against results, on made-up results."""

import pytest

from simcollapse.bench import targets


def row(speedup, **more):
    rates = {name: {"rate": 1e5} for name in ("engine", "limit", "sample")}
    base = {"case": "c", "design": "gaussian", "dim": 10, "n": 100, "engine": "sample", "speedup": speedup}
    return base | {"rates": rates, "compile": {"compile_s": 3.0}} | more


def judged(sample=(), law=(), mixture=()):
    return targets.judged({"sample": sample, "law": law, "mixture": mixture, "block_sizes": []})


def verdicts(made):
    return {item["target"]: item["met"] for item in made}


def test_met():
    made = judged([row({"loop": 20.0, "loop_gram": 10.0, "limit": 0.6})])
    assert verdicts(made) == {
        "times the plain loop, pinv(X)": True,
        "times the plain loop, pinv(X'X)": False,
        "share of the random-number limit": True,
        "seconds to compile, slowest program": True,
    }
    assert ["reason" in item for item in made] == [False, True, False, False]


def test_missed_with_room_left():
    made = judged([row({"loop": 19.0, "loop_gram": 19.0, "limit": 0.5})])
    assert made[0]["reason"] == "the engine reaches 50% of a limit that is 38.0 times the loop"
    assert "random numbers alone" in made[2]["reason"]


def test_missed_because_nothing_could_meet_it():
    made = judged([row({"loop": 18.0, "loop_gram": 1.0, "limit": 0.95}, design="fixed")])
    assert made[0]["required"] == ">= 40"
    assert made[0]["reason"].startswith(
        "the limit itself (random numbers, matrix products) is only 18.9 times"
    )


@pytest.mark.parametrize(("dim", "n", "design", "required"), [
    (1, 100, "gaussian", 50),
    (10, 100, "gaussian", 20),
    (100, 1000, "gaussian", 50),
    (1, 100, "fixed", 50),
    (10, 100, "fixed", 40),
    (100, 1000, "fixed", 50),
])  # fmt: skip
def test_the_issue_s_numbers(dim, n, design, required):
    made = judged([row({"loop": 45.0, "loop_gram": 1.0, "limit": 0.9}, dim=dim, n=n, design=design)])
    assert made[0]["required"] == f">= {required}"
    assert made[0]["met"] == (45 >= required)


def test_other_sizes_promise_no_speedup_over_the_loop():
    made = judged([row({"loop": 1.0, "limit": 0.9}, dim=10, n=1000)])
    assert not [name for name in verdicts(made) if name.startswith("times the plain loop")]


def test_a_law_is_judged_where_it_was_compared():
    speedups = {"loop": 100.0, "sample": 9.9}
    law = [
        row(speedups, n=1000, engine="law", sample_compile={"compile_s": 11.0}),
        row({"loop": 100.0}, engine="law"),
    ]
    made = judged(law=law)
    assert verdicts(made) == {
        "exact in law, times sample level": False,
        "seconds to compile, slowest program": False,
    }
    assert made[1]["measured"] == 11.0
    assert made[1]["case"] == "c, sample, compared with the law"


@pytest.mark.parametrize(("engine", "required"), [("sample", 10), ("law", 200)])
def test_classification_promises_a_speedup_over_the_loop_at_one_size(engine, required):
    def found(loop, **more):
        speedup = {"loop": loop} | ({"limit": 0.5} if engine == "sample" else {})
        one = row(speedup, engine=engine, design="mixture", **({"n": 1000} | more))
        one["rates"]["loop"] = {"rate": 1e3}
        return [item for item in judged(mixture=[one]) if item["target"].startswith("times the plain loop")]

    (met,), (missed,) = found(required), found(required - 1)
    assert (met["met"], missed["met"]) == (True, False)
    assert met["required"] == f">= {required}"
    words = "a limit that is 18.0 times the loop" if engine == "sample" else "10 us, 1e+03 us in the loop"
    assert words in missed["reason"]
    assert not found(required, n=100)
