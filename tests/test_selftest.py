"""The self-test: every check passes here, sees the error that is planted for it, and says no by its exit code."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from simcollapse import selftest
from simcollapse.cli import main
from simcollapse.selftest import check, precision

SLOW = {"determinism", "ball-verified regression", "step at the breakdown point", "collapse of a Gaussian"}


@pytest.mark.parametrize(
    "made",
    [pytest.param(c, id=c.name, marks=[pytest.mark.slow] if c.name in SLOW else []) for c in selftest.CHECKS],
)
def test_each_check_passes_and_sees_its_planted_error(made):
    outcome = check.made(made)
    assert outcome.good and outcome.measurements, (outcome.error, outcome.measurements)
    planted = check.made(made, planted=True)
    assert not planted.error, planted.error
    assert any(m.verdict == check.FAIL for m in planted.measurements)


def test_every_random_check_has_its_share_of_the_false_alarms():
    assert sum(made.random for made in selftest.CHECKS) == check.RANDOM_CHECKS


def test_the_arithmetic_of_a_product_is_told_by_its_error():
    """Inputs rounded as bfloat16 and TensorFloat-32 round them: 8 and 11 significant bits."""
    left, right = (precision._normal((precision.SIZE, precision.SIZE), seed) for seed in (1, 2))
    exact = left.astype(float) @ right.astype(float)

    def cut(array, bits):
        fraction, exponent = np.frexp(array.astype(float))
        return np.ldexp(np.round(np.ldexp(fraction, bits)), exponent - bits)

    for bits, name in ((8, "bfloat16"), (11, "TensorFloat-32"), (16, "three passes of bfloat16")):
        assert precision.kind_of(precision._relative(cut(left, bits) @ cut(right, bits), exact)) == name
    assert precision.kind_of(precision._relative(left @ right, exact)) == "float32"
    assert precision.kind_of(float("nan")) == "float32"  # and no limit allows it
    half = jnp.asarray(left).astype(jnp.bfloat16), jnp.asarray(right).astype(jnp.bfloat16)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))(*half)
    assert precision.kind_of(precision._relative(product, exact)) == "bfloat16"


def test_limits_and_stated_power():
    random = np.random.default_rng(0)
    values = random.normal(size=(4000, 2))
    good = check.means("normal", values + 1, 1.0, 2)
    assert good.verdict == check.PASS and good.allowed == pytest.approx(5.4, abs=0.1)
    seen = float(good.words.split()[1])
    assert check.means("normal", values + 1, 1 + 1.3 * seen, 2).verdict == check.FAIL
    assert check.means("normal", np.full((10, 2), np.nan), 1.0, 2).verdict == check.FAIL
    assert check.distribution("normal", values[:, 0], ndtr, 1).verdict == check.PASS
    wrong = check.distribution("normal", values[:, 0] + 0.3, ndtr, 1)
    assert wrong.verdict == check.FAIL and wrong.measured > float(wrong.words.split()[-1])


def broken(planted):
    yield check.Measurement("before", 1.0, None)
    raise RuntimeError("no such device")


def test_the_command_prints_says_no_and_survives_a_check_that_breaks(capsys, monkeypatch):
    quick = (precision.SUBNORMAL,)
    monkeypatch.setattr(selftest.run, "__defaults__", (quick,))
    assert main(["selftest"]) == 0
    printed = capsys.readouterr().out
    assert "sound: 1 checks passed" in printed and "note" in printed and "pass" in printed
    monkeypatch.setattr(selftest.run, "__defaults__", ((*quick, check.Check("odd", "", False, broken)),))
    assert main(["selftest", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["good"] and [c["good"] for c in found["checks"]] == [True, False]
    assert found["checks"][1]["error"] == "RuntimeError: no such device"
    assert found["setting"]["key_implementation"] and found["elapsed_s"] > 0
