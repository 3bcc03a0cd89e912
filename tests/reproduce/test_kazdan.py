"""A tiny scale, end to end: files, claims, pictures redrawn from saved data, and planted errors."""

import dataclasses
import functools
import io

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import simcollapse as sc
from simcollapse import reproduce
from simcollapse.reproduce import report, style
from simcollapse.reproduce.kazdan import (
    cells,
    discrete,
    divisor,
    gaussian,
    gaussian_grid,
    gaussian_runs,
    regression,
)
from theory import workflows as theory

FIGURES = {
    "kazdan-gaussian": (gaussian, gaussian_grid, divisor),
    "kazdan-regression": (regression,),
    "kazdan-discrete": (discrete,),
}
PICTURES = tuple(picture for pictures in FIGURES.values() for picture in pictures)
RUNS = gaussian_runs.Config(chains=400, dims=(3,), sizes=(3, 30), rounds=20, shown=3)
TINY = {
    gaussian: RUNS,
    gaussian_grid: RUNS,
    divisor: divisor.Config(chains=1_500, rounds=20, distance_chains=16_000),
    regression: regression.Config(chains=1_600, dims=(3,), sizes=(3, 75), rounds=20, shown=(3,)),
    discrete: discrete.Config(chains=200, outcomes=12, sizes=(10, 20), rounds=20, shown=(10, 20)),
}
# What so few rounds, rows and chains cannot show: limits for many of them.
COARSE = {
    gaussian: ("… at a pace", "… and with divisor n it is a plateau"),
    divisor: ("(c)", "… but not for divisor n − 1", "… as k^(1/n)"),
    regression: ("(a)", "… for n far above d", "… but the plateau", "the law of subsamples"),
}
pytestmark = pytest.mark.timeout(300)  # the first test of a figure compiles its programs


class Runs:
    """Claims by picture; a figure is computed when a test first asks for one of its pictures."""

    def __init__(self, folder):
        self.folder, self._claims = folder, {}

    def claims(self, picture):
        if picture not in self._claims:
            name, pictures = next((n, p) for n, p in FIGURES.items() if picture in p)
            with pytest.MonkeyPatch.context() as patch:
                for each in pictures:
                    patch.setattr(each, "SCALES", {"quick": TINY[each]})
                found = reproduce.run(name, out=self.folder, seed=3)
            for each in pictures:
                self._claims[each] = [claim for claim in found if claim.picture == each.NAME]
        return self._claims[picture]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("kazdan"))


def saved(ran, picture) -> xr.Dataset:
    ran.claims(picture)
    return report.load_data(ran.folder / f"{picture.NAME}.nc")


def test_the_figures_are_known():
    assert FIGURES.items() <= reproduce.KNOWN.items()


def test_the_paper_scale_is_the_papers_grid():
    for picture in (gaussian, gaussian_grid, regression):
        config = picture.SCALES["paper"]
        assert config.dims == (1, 3, 10, 31, 100)
        assert config.sizes == (10, 32, 100, 316, 1000)
        assert (config.chains, config.rounds) == (100, 100)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.slow
def test_files_are_there_and_claims_agree_where_a_tiny_scale_can_tell(ran, picture):
    found = ran.claims(picture)
    assert found
    for ending in (".png", ".svg", ".nc"):
        assert (ran.folder / f"{picture.NAME}{ending}").exists()
    for claim in found:
        assert claim.statement and claim.source and claim.measured and claim.wanted
        if not claim.statement.startswith(COARSE.get(picture, ("no such claim",))):
            assert claim.agrees, claim


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.slow
def test_saved_data_gives_the_same_claims(ran, picture):
    data = saved(ran, picture)
    again = [claim._replace(picture=picture.NAME) for claim in picture.compare(data)]
    assert [claim[:6] for claim in again] == [
        claim[:6] for claim in ran.claims(picture)
    ]  # sums differ in rounding
    assert data.attrs["title"] and data.attrs["heading"] and data.attrs["note"]
    assert data.attrs["config"].startswith('{"chains": ')


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.slow
def test_drawing_computes_nothing_and_gives_the_same_picture(ran, picture, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("draw computed something")

    data = saved(ran, picture)
    monkeypatch.setattr(sc, "simulate", never)
    monkeypatch.setattr(picture, "compute", never)
    for module in (
        theory.gaussian_replace,
        theory.gaussian_accumulate,
        theory.gaussian_subsample,
        theory.discrete,
    ):
        for name in vars(module):
            if name.endswith(("_exact", "_limit", "_asymptotic")):
                monkeypatch.setattr(module, name, never)
    with mpl.rc_context(style.SETTINGS):
        image = io.BytesIO()
        picture.draw(data).savefig(image, format="png", dpi=style.DPI, metadata={"Software": None})
    assert image.getvalue() == (ran.folder / f"{picture.NAME}.png").read_bytes()


@pytest.mark.parametrize(
    ("picture", "line", "factor", "words"),
    [
        (gaussian, "mean_error_theory", 1.15, "error of the mean, accumulate)"),
        (gaussian, "mean_error_theory", 0.85, "error of the mean, accumulate-subsample)"),
        (gaussian, "trace_theory", 1.1, "mean trace, accumulate)"),
        (gaussian, "trace_theory", 0.9, "mean trace, accumulate-subsample)"),
        (gaussian, "log_det_theory", 1.1, "mean log determinant, replace)"),
        (divisor, "trace_theory", 1.1, "mean trace, accumulate-subsample, both divisors)"),
        (divisor, "distance_theory", 0.85, "squared distance, replace"),
        (regression, "error_theory", 1.15, "(test error, replace"),
        (regression, "error_theory", 0.85, "(test error, accumulate"),
        (regression, "error_theory", 1.3, "(n ≤ d, fits of least norm"),
        (discrete, "heterozygosity_theory", 1.05, "(heterozygosity, accumulate)"),
        (discrete, "survivors_theory", 1.05, "(surviving outcomes, replace)"),
    ],
)
@pytest.mark.slow
def test_a_wrong_theory_line_is_noticed(ran, picture, line, factor, words):
    data = saved(ran, picture)
    wrong = data.assign({line: data[line] * factor})
    found = [claim for claim in picture.compare(wrong) if words in claim.statement]
    assert [claim.agrees for claim in found] == [False]


@pytest.mark.slow
def test_workflows_that_are_exchanged_are_noticed(ran):
    data = saved(ran, gaussian)
    swapped = data.assign_coords(workflow=[data["workflow"].values[i] for i in (2, 1, 0)])
    statements = ("(a)", "(b)", "… slowly")
    found = [claim for claim in gaussian.compare(swapped) if claim.statement.startswith(statements)]
    assert [claim.agrees for claim in found] == [False, False, False]


@pytest.mark.slow
def test_exchanged_divisors_are_noticed(ran):
    data = saved(ran, divisor)
    swapped = data.assign_coords(divisor=data["divisor"].values[::-1])
    right, wrong = ({c.statement: c for c in divisor.compare(each)} for each in (data, swapped))
    (plateau,) = (words for words in right if words.startswith("(c)"))
    (distance,) = (words for words in right if words.startswith("under replace"))
    assert right[plateau].verdict != "NO"
    assert wrong[plateau].verdict == "NO"
    assert right[distance].agrees
    assert not wrong[distance].agrees


@pytest.mark.slow
def test_computing_again_gives_the_same_data(ran):
    again = discrete.compute(dataclasses.replace(TINY[discrete], seed=3))
    xr.testing.assert_identical(again.drop_attrs(), saved(ran, discrete).drop_attrs())


def test_excess_likelihood_is_that_of_the_definition_and_has_no_overflow():
    log_det, mahalanobis, dim = np.array([-3.0, 0.0]), np.array([40.0, 3.2]), 3
    found = np.exp(gaussian_runs.excess(np.log(mahalanobis), log_det, dim))
    np.testing.assert_allclose(found, (mahalanobis - dim + log_det) / 2, rtol=1e-12)
    np.testing.assert_allclose(gaussian_runs.excess(np.array([2e4]), np.array([-1e4]), dim), 2e4 - np.log(2))
    assert np.isnan(gaussian_runs.excess(np.array([np.nan]), np.array([np.nan]), dim)).all()


def test_cells_are_summarised_in_their_places():
    random = np.random.default_rng(0)
    chains = random.normal(size=(50, 3)) + 7
    cell = cells.Cell((1, 0), lambda: {"value": chains})
    data = cells.collect({"a": ("x", "y"), "b": (4,)}, [[cell]], rounds=2)
    assert np.isnan(data["value"].sel(a="x")).all()
    one = data.sel(a="y", b=4)
    np.testing.assert_allclose(one["value"], chains.mean(axis=0))
    np.testing.assert_allclose(one["value_error"], chains.std(axis=0, ddof=1) / np.sqrt(50))
    assert (one["value_low"] < one["value_middle"]).all() and (one["value_middle"] < one["value_high"]).all()


def test_cells_are_computed_in_their_precision_and_summarised_in_double():
    def values(name):
        return {name: jnp.ones((3, 1)) / 3}

    made = [
        cells.Cell((i,), functools.partial(values, str(double)), double)
        for i, double in enumerate((True, False, None))
    ]
    data = cells.collect({"cell": range(3)}, [made], 0)
    rounded = [float(data[name][i, 0]) for i, name in enumerate(("True", "False", "None"))]
    assert rounded == [1 / 3, float(np.float32(1) / np.float32(3)), 1 / 3]
    assert all(data[name].dtype == np.float64 for name in ("True", "False"))


def test_single_precision_is_kept_from_fits_that_are_all_but_singular():
    grid = [(dim, n) for dim in cells.DIMS for n in cells.SIZES]
    assert [place for place in grid if cells.needs_double(*place)] == [(31, 32)]


@pytest.mark.slow
@pytest.mark.parametrize("dim, n, double", [(31, 32, True), (31, 32, False), (31, 64, False)])
def test_a_fit_to_one_row_more_than_dimensions_needs_double_precision(dim, n, double):
    """Single precision takes some of its covariances for singular; at twice as many rows none."""
    with jax.enable_x64(double):
        found = cells.simulate(
            sc.gaussian(dim), "accumulate_subsample", n, rounds=30, chains=100, seed=(0, dim, n), alone=True
        )
    singular = bool(np.isnan(found["log_det"]).any())
    assert singular == (not double and not n > cells.FULL_RANK * dim)


def test_pooling_weighs_cells_alike_and_adds_their_variances():
    data = xr.Dataset({"v": ("n", [1.1, 1.8]), "v_error": ("n", [0.1, 0.4])}, coords={"n": [1, 2]})
    off, error = cells.pooled(data, "v", xr.DataArray([1.0, 2.0], dims="n", coords={"n": [1, 2]}), "n")
    assert float(off) == pytest.approx(0.0)
    assert float(error) == pytest.approx(np.hypot(0.1, 0.2) / 2)


def test_crowded_designs_need_the_least_norm():
    assert regression.fitted("replace", 31, 32)
    assert not regression.fitted("accumulate_subsample", 31, 32)
    assert not regression.fitted("replace", 10, 10)
    assert regression.fitted("accumulate_subsample", 31, 100)
