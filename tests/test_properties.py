"""Invariances of KNOWLEDGE_CENTER section 6, exact to rounding because both arms draw the same random numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcollapse as sc

SIZES = {"n_real": 60, "n_per_round": 60, "rounds": 3, "chains": 4, "seed": 6, "block_size": 4}
ROWS = np.random.default_rng(1).normal(size=(60, 3))
DESIGNS = {"gaussian": {}, "orthogonal": {"design": "orthogonal"}, "fixed": {"design": "fixed", "rows": ROWS}}
MODES = [{}, {"rejected": "resample"}]

vectors = st.lists(st.floats(-3, 3), min_size=3, max_size=3).map(np.array)
radii = st.floats(0.2, 2.0)


def _errors(truth, center, radius, slack, noise, design, mode=None, **sizes):
    task = sc.linear_regression(truth, noise=noise, **DESIGNS[design])
    ball = sc.knowledge_ball(center, radius=radius, slack=slack)
    result = sc.simulate(task, ball, sc.replace(), **SIZES | sizes, **(mode or {}))
    assert (
        (result.acceptance_rate >= 0) & (result.acceptance_rate <= 1) | result.acceptance_rate.isnull()
    ).all()
    return result.squared_error.values


@pytest.mark.parametrize("design", list(DESIGNS))
@pytest.mark.parametrize("mode", MODES, ids=["drop", "resample"])
@given(truth=vectors, bias=vectors, radius=radii, scale=st.sampled_from([1e-3, 0.5, 7.0]))
@settings(max_examples=5)
def test_scaling_the_problem_scales_the_error(design, mode, truth, bias, radius, scale):
    center = truth + 0.1 * bias
    one = _errors(truth, center, radius, 0.5, 1.0, design, mode)
    other = _errors(scale * truth, scale * center, scale * radius, scale * 0.5, scale, design, mode)
    # 1e-7: rounding of y - x.center, and of the resampled quantile, relative to the noise
    np.testing.assert_allclose(other, scale**2 * one, rtol=1e-7)


@pytest.mark.parametrize("design", list(DESIGNS))
@given(truth=vectors, shift=vectors, radius=radii)
@settings(max_examples=5)
def test_shifting_truth_and_center_together_changes_nothing(design, truth, shift, radius):
    one = _errors(truth, truth + 0.1, radius, 0.5, 1.0, design)
    other = _errors(truth + shift, truth + shift + 0.1, radius, 0.5, 1.0, design)
    np.testing.assert_allclose(other, one, rtol=1e-7)


@given(truth=vectors, angle=st.floats(0.1, 3.0), radius=radii)
@settings(max_examples=5)
def test_rotating_a_fixed_design_changes_nothing(truth, angle, radius):
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    center = truth + np.array([0.1, -0.2, 0.1])
    one = _errors(truth, center, radius, 0.5, 1.0, "fixed")
    task = sc.linear_regression(turn @ truth, design="fixed", rows=ROWS @ turn.T)
    ball = sc.knowledge_ball(turn @ center, radius=radius, slack=0.5)
    other = sc.simulate(task, ball, sc.replace(), **SIZES).squared_error.values
    np.testing.assert_allclose(other, one, rtol=1e-7)


@pytest.mark.parametrize("design", list(DESIGNS))
@given(truth=vectors)
@settings(max_examples=3)
def test_drop_is_resample_when_all_is_accepted(design, truth):
    arms = [_errors(truth, truth, 1e3, 1e3, 1.0, design, mode) for mode in MODES]
    np.testing.assert_allclose(arms[0], arms[1], rtol=1e-12)


@given(radius=radii)
@settings(max_examples=3)
def test_a_vanishing_bound_lands_on_the_center_in_one_round(radius):
    truth, center = np.zeros(3), np.array([0.3, -0.2, 0.1])
    errors = _errors(truth, center, 1e-9 * radius, 0.0, 1.0, "orthogonal", MODES[1])
    np.testing.assert_allclose(errors[:, 1:], np.sum(center**2), rtol=1e-6)
