"""A tiny scale, end to end: files, claims, pictures redrawn from saved data, and planted errors."""

import io

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import simcollapse as sc
from simcollapse import reproduce
from simcollapse.reproduce import report, style
from simcollapse.reproduce.verify_x_workflow import cells, drift, first_order, predictions, settings
from theory import knowledge_center
from theory.workflows import first_order as laws

FIGURE = "verify-x-workflow"
PICTURES = (cells, first_order, drift)
TINY = {
    cells: cells.Config(chains=96, rounds=10, tasks=("regression",), block_size=48),
    first_order: first_order.Config(
        chains=500, rounds=8, small=60, drawn_chains=200, exceptions=("unbiased",)
    ),
    drift: drift.Config(chains=1_600, rounds=20, radii=(1.0, 1.5)),
}
# What so few chains and rounds cannot show.
COARSE = {
    cells: ("… and then a rise",),
    first_order: ("an exception",),
    drift: ("under accumulate the distance",),
}
pytestmark = pytest.mark.timeout(300)  # the first test compiles every program


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder of the figure's files, and its claims by picture."""
    folder = tmp_path_factory.mktemp("verify-x-workflow")
    with pytest.MonkeyPatch.context() as patch:
        for picture in PICTURES:
            patch.setitem(picture.SCALES, "quick", TINY[picture])
        found = reproduce.run(FIGURE, out=folder, seed=3)
    return folder, {picture: [c for c in found if c.picture == picture.NAME] for picture in PICTURES}


def saved(ran, picture) -> xr.Dataset:
    return report.load_data(ran[0] / f"{picture.NAME}.nc")


def claim(picture, data: xr.Dataset, start: str):
    """The claim whose statement starts so."""
    return next(c for c in picture.compare(data) if c.statement.startswith(start))


def test_the_figure_is_known():
    assert reproduce.KNOWN[FIGURE] == PICTURES


def test_the_paper_scale_is_the_full_grid():
    for picture in PICTURES:
        assert picture.SCALES["paper"].rounds == 100
        assert picture.SCALES["paper"].chains >= 100
    assert cells.SCALES["paper"].tasks == tuple(settings.SETTINGS)
    assert first_order.SCALES["paper"].exceptions == tuple(first_order.EXCEPTIONS)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.slow
def test_files_are_there_and_claims_agree_where_a_tiny_scale_can_tell(ran, picture):
    folder, found = ran
    for ending in (".png", ".svg", ".nc"):
        assert (folder / f"{picture.NAME}{ending}").exists()
    assert (folder / f"{FIGURE}-claims.csv").exists()
    assert found[picture]
    for one in found[picture]:
        assert one.statement and one.source and one.measured and one.wanted
        if not one.statement.startswith(COARSE[picture]):
            assert one.agrees, one


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.slow
def test_saved_data_gives_the_same_claims_and_is_complete(ran, picture):
    data = saved(ran, picture)
    again = [one._replace(picture=picture.NAME) for one in picture.compare(data)]
    assert str(again) == str(ran[1][picture])
    assert data.attrs["title"] and data.attrs["heading"] and data.attrs["note"]
    assert data.attrs["config"].startswith('{"chains": ')
    for name in ("error", "ratio", "other_ratio", "left"):
        assert name not in data or np.isfinite(data[name]).all()


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.slow
def test_drawing_computes_nothing_and_gives_the_same_picture(ran, picture, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("draw computed something")

    data = saved(ran, picture)
    for module, name in (
        (sc, "sweep"),
        (sc, "simulate"),
        (picture, "compute"),
        (knowledge_center, "accumulate_deviation"),
        (laws, "error_factor_asymptotic"),
    ):
        monkeypatch.setattr(module, name, never)
    with mpl.rc_context(style.SETTINGS):
        figure = picture.draw(data)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=style.DPI, metadata={"Software": None})
    assert image.getvalue() == (ran[0] / f"{picture.NAME}.png").read_bytes()


@pytest.mark.parametrize(
    ("picture", "line", "statement", "size"),
    [
        (cells, "exact", "the exact errors", 0.35),
        (cells, "approximate", "the linear form", 0.6),
        (first_order, "law", "every regular task's error is k + 1", 0.2),
        (first_order, "law", "every regular task's error is Σ", 0.2),
        (first_order, "law", "every regular task's error is 3 Σ", 0.3),
        (first_order, "other_law", "… and has a law of its own", 0.2),
        (drift, "theory", "the linear law lies on the simulation (replace", 0.15),
        (drift, "theory", "the linear law lies on the simulation (accumulate", 0.1),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.slow
def test_a_wrong_theory_line_is_noticed(ran, picture, line, statement, size, sign):
    data = saved(ran, picture)
    wrong = data.assign({line: data[line] * (1 + sign * size)})
    assert not claim(picture, wrong, statement).agrees


@pytest.mark.slow
def test_a_wrong_exponent_is_noticed(ran):
    data = saved(ran, drift)
    wrong = data.assign(rate=data["rate"] ** 2)
    assert not claim(drift, wrong, "under accumulate the distance").agrees


@pytest.mark.slow
def test_workflows_passed_off_as_one_another_fail(ran):
    data = saved(ran, cells)
    names = {"replace": "fresh_real", "fresh_real": "replace", "accumulate": "accumulate_subsample"}
    swapped = data.assign_coords(
        workflow=[names.get(str(w), "accumulate") for w in data["workflow"].to_numpy()]
    )
    assert not claim(cells, swapped, "fresh real data hold").agrees
    crossed = data.assign(exact=swapped["exact"].sel(workflow=data["workflow"]))
    assert not claim(cells, crossed, "the exact errors").agrees


def test_the_exponent_of_an_exact_path_is_one_minus_rho():
    rounds, rate = 100, 0.55
    path = knowledge_center.accumulate_deviation(np.arange(rounds + 1), rate=rate, nu=1.2)
    one = xr.Dataset(
        {
            "left": ("round", path),
            "left_covariance": (("round", "other_round"), 1e-6 * np.eye(rounds + 1)),
            "rate": rate,
            "nu": 1.2,
        }
    )
    got = drift.exponent(one)
    assert got.value == pytest.approx(1 - rate, abs=1e-3)
    assert 0 < got.error < 0.02


def test_predictions_start_at_the_first_fit_and_agree_where_two_laws_meet():
    for workflow in settings.WORKFLOWS:
        path = predictions.exact("regression", 0, workflow, 5)
        if workflow != "accumulate_subsample":
            assert path[0] == pytest.approx(2 / 10)
    replaced = predictions.exact("regression", 0, "replace", 5)
    np.testing.assert_allclose(np.diff(replaced), 2 / 40)  # d sigma^2/n a round
    fresh = predictions.exact("regression", 0, "fresh_real", 200)
    np.testing.assert_allclose(fresh[-1], 2 / 40 / (1 - 0.8**2))  # v = 0.64 v + d/n
    assert np.isnan(predictions.exact("mixture", 0, "replace", 3)).all()
    assert np.isnan(predictions.approximate("regression", 0, "replace", 3)).all()


def test_own_laws_start_at_one():
    for name in first_order.EXCEPTIONS:
        assert first_order.own_law(name, 3)[0] == pytest.approx(1)
