"""Every registered statement agrees, every planted error is caught, and the command reports both."""

import dataclasses
import json
import re

import numpy as np
import pytest

from simcollapse import theorems
from simcollapse.theorems import evidence
from simcollapse.theorems.theorem import Configuration, Outcome, Theorem, checked

# Those that share the one program of dropped rows under `replace`, or need none; the others are slow.
FAST = {
    "truncated-normal-moments",
    "contraction-rate",
    "dropped-rows",
    "bias-is-the-limit",
    "scale-equivariance",
    "breakdown-beyond-gaussians",
}
NAMES = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow, pytest.mark.timeout(300)])
    for name in theorems.KNOWN
]


@pytest.mark.parametrize("name", theorems.KNOWN)
def test_fields(name):
    theorem = theorems.KNOWN[name]
    assert theorem.name == name == name.lower()
    for field in dataclasses.fields(Theorem):
        assert getattr(theorem, field.name), field.name
    assert theorem.statement.endswith(".") and theorem.strategy.endswith(".")
    assert "arXiv" not in theorem.source or re.search(r"\[\w+\], .*arXiv (\d+\.\d+)?v\d", theorem.source)
    assert any(word in theorem.strategy for word in ("simulate()", "NumPy draws"))  # names its simulation


def test_fast_names_are_known():
    assert set(theorems.KNOWN) >= FAST


@pytest.mark.parametrize("name", NAMES)
def test_agrees(name):
    (outcome,) = theorems.run([name])
    assert outcome.error == ""
    assert [c for c in outcome.configurations if not c.agrees] == []
    assert outcome.good and outcome.verdict == "agrees"


@pytest.mark.parametrize("name", NAMES)
def test_planted_error_is_caught(name):
    (outcome,) = theorems.self_test([name])
    assert outcome.error == ""
    assert outcome.good and outcome.verdict == "caught"


def test_unknown_name():
    for call in (theorems.run, theorems.self_test, theorems.main_run):
        with pytest.raises(
            ValueError, match=r"unknown theorem 'regime'. Did you mean 'regimes'\?; known are"
        ):
            call(["regime"])


def fake(check, name="fake"):
    return Theorem(name, "It is so.", "derived here", "none", "simulate().", "a [bracketed] error", check)


def one(deviation, limit=5.0, measure="z"):
    return lambda planted: [Configuration("here", deviation, limit, measure)]


GOOD, BAD, NAN = fake(one(1.0)), fake(one(6.0)), fake(one(np.nan))


def broken(planted):
    yield Configuration("first", 0.0, 1.0, "z")
    raise RuntimeError("it broke")


class TestOutcome:
    def test_verdicts(self):
        assert [checked(t, False).verdict for t in (GOOD, BAD, NAN)] == ["agrees", "FAILS", "FAILS"]
        assert [checked(t, True).verdict for t in (GOOD, BAD, NAN)] == ["MISSED", "caught", "caught"]

    def test_a_broken_check_is_neither_agreement_nor_a_catch(self):
        for planted in (False, True):
            outcome = checked(fake(broken), planted)
            assert outcome.verdict == "broken" and not outcome.good
            assert outcome.error == "RuntimeError: it broke"
            assert len(outcome.configurations) == 1

    def test_no_configurations_is_no_agreement(self):
        assert not checked(fake(lambda planted: []), False).good
        assert not checked(fake(lambda planted: []), True).good

    def test_worst_compares_measures_by_their_limits(self):
        settings = [
            Configuration("a", 3.0, 5.0, "z"),
            Configuration("b", -6.0, -4.0, "z <"),
            Configuration("c", 0.9e-6, 1e-6, "margin"),
        ]
        assert Outcome(GOOD, False, settings, "", 0.0).worst == settings[2]
        settings.append(Configuration("d", -1.0, -4.0, "z <"))
        assert Outcome(GOOD, False, settings, "", 0.0).worst == settings[3]
        settings.append(Configuration("e", np.nan, 1.0, "margin"))
        assert Outcome(GOOD, False, settings, "", 0.0).worst == settings[4]


class TestCommand:
    @pytest.fixture
    def registry(self, monkeypatch):
        known = {
            "good": fake(one(1.0), "good"),
            "bad": fake(one(np.inf), "bad"),
            "broken": fake(broken, "broken"),
        }
        monkeypatch.setattr(theorems, "KNOWN", known)

    def test_exit_code_and_table(self, registry, capsys):
        assert theorems.main_run(["good"]) == 0
        shown = capsys.readouterr()
        assert "good" in shown.out and "z 1" in shown.out and "agrees" in shown.out
        assert "good: agrees" in shown.err
        assert theorems.main_run([]) == 1
        shown = capsys.readouterr().out
        assert "FAILS" in shown and "here: z inf, limit 5" in shown and "RuntimeError: it broke" in shown

    def test_self_test(self, registry, capsys):
        assert theorems.main_run(["bad"], self_test=True) == 0
        assert "a [bracketed] error" in capsys.readouterr().out
        assert theorems.main_run(["good"], self_test=True) == 1
        shown = capsys.readouterr().out
        assert "MISSED" in shown and "did not see: a [bracketed] error" in shown

    def test_json(self, registry, capsys):
        assert theorems.main_run([], json=True) == 1
        good, bad, broke = json.loads(capsys.readouterr().out)
        assert good["name"] == "good" and good["verdict"] == "agrees" and not good["self_test"]
        assert good["configurations"] == [
            {"label": "here", "deviation": 1.0, "limit": 5.0, "measure": "z", "agrees": True}
        ]
        assert bad["configurations"][0]["deviation"] == "inf" and not bad["good"]
        assert broke["error"] == "RuntimeError: it broke"

    def test_run_reports_as_it_goes(self, registry):
        seen = []
        outcomes = theorems.run(["good", "bad"], on_outcome=seen.append)
        assert seen == outcomes and [o.theorem.name for o in seen] == ["good", "bad"]


class TestEvidence:
    """The tests of the registry keep their error rate and see what they are for."""

    def samples(self, mean, seed=0):
        return mean + np.random.default_rng(seed).normal(size=(400, 3))

    def test_equal_means(self):
        assert evidence.equal_means("", self.samples(0.0), 0.0).agrees
        assert not evidence.equal_means("", self.samples([0.0, 0.0, 0.5]), 0.0).agrees
        assert evidence.equal_means("", self.samples([0.0, 0.0, 0.5]), 0.0, allowance=0.5).agrees
        assert not evidence.equal_means("", self.samples([0.0, 0.0, 1.0]), 0.0, allowance=0.5).agrees

    def test_inequalities(self):
        assert evidence.at_most("", self.samples(-9.0)).agrees
        assert evidence.at_most("", self.samples(0.0)).agrees  # not refuted
        assert not evidence.at_most("", self.samples([-9.0, -9.0, 0.5])).agrees
        assert evidence.below("", self.samples(-0.5)).agrees
        assert not evidence.below("", self.samples([-0.5, -0.5, 0.0])).agrees  # not established

    def test_no_spread(self):
        same = np.ones((10, 2))
        assert evidence.equal_means("", same, 1.0).agrees
        assert not evidence.equal_means("", same, 1.5).agrees
        assert not evidence.below("", same - 1).agrees
        assert not evidence.equal_means("", np.full((10, 2), np.nan), 1.0).agrees

    def test_same_distribution(self):
        rng = np.random.default_rng(1)
        assert evidence.same_distribution("", rng.normal(size=2000), rng.normal(size=2000)).agrees
        assert not evidence.same_distribution(
            "", rng.normal(size=2000), 1.3 * rng.normal(size=2000) + 0.2
        ).agrees

    def test_false_alarms_come_at_the_stated_rate(self, monkeypatch):
        monkeypatch.setattr(evidence, "FALSE_ALARM", 0.05)
        rng = np.random.default_rng(2)
        alarms = {"equal": 0, "at most": 0, "gap": 0}
        for _ in range(2000):
            x, y = rng.normal(size=(2, 60, 2))
            alarms["equal"] += not evidence.equal_means("", x, 0.0).agrees
            alarms["at most"] += not evidence.at_most("", x).agrees
            alarms["gap"] += not evidence.same_distribution("", x[:, 0], y[:, 0]).agrees
        # 0.05 in 2000 calls, five standard deviations of a binomial
        assert all(abs(alarms[name] - 100) < 5 * np.sqrt(95) for name in ("equal", "at most"))
        assert 0 < alarms["gap"] < 100 + 5 * np.sqrt(95)
