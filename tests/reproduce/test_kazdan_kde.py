"""The figures of kernel density estimates at a tiny scale, end to end, and planted errors."""

import io

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad

import simcollapse as sc
from simcollapse import reproduce
from simcollapse.reproduce import report, style
from simcollapse.reproduce.kazdan import kde, kde_bandwidth, kde_schedule
from theory.workflows import kde as theory
from theory.workflows import kde_error, kde_scaled

FIGURES = {"kazdan-kde": (kde,), "kazdan-kde-bandwidth": (kde_bandwidth, kde_schedule)}
PICTURES = tuple(picture for pictures in FIGURES.values() for picture in pictures)
TINY = {
    kde: kde.Config(chains=300, sets=("moons",), sizes=(50,), rounds=20),
    kde_bandwidth: kde_bandwidth.Config(chains=40, sizes=(20,), bandwidths=(0.03, 0.2, 0.5), rounds=12),
    kde_schedule: kde_schedule.Config(
        chains=150, n=20, rounds=12, error_chains=150, error_n=20, error_rounds=12
    ),
}
# What so few rounds, rows and chains cannot show: limits for many of them.
COARSE = {
    kde: ("the loss of many rows", "… and is no plateau"),
    kde_bandwidth: ("… and accumulating does not reach",),
    kde_schedule: ("accumulating is not enough", "… it is bounded iff"),
}
pytestmark = pytest.mark.timeout(600)  # the first test compiles the programs of all pictures


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder of the files, and claims by picture."""
    folder, found = tmp_path_factory.mktemp("kde"), []
    for name, pictures in FIGURES.items():
        with pytest.MonkeyPatch.context() as patch:
            for each in pictures:
                patch.setattr(each, "SCALES", {"quick": TINY[each]})
            found += reproduce.run(name, out=folder, seed=3)
    return folder, {p: [claim for claim in found if claim.picture == p.NAME] for p in PICTURES}


def saved(ran, picture) -> xr.Dataset:
    return report.load_data(ran[0] / f"{picture.NAME}.nc")


def test_the_figures_are_known():
    assert FIGURES.items() <= reproduce.KNOWN.items()
    paper = kde.SCALES["paper"]
    assert (paper.chains, paper.rounds, paper.sizes) == (100, 100, (10, 32, 100, 316, 1000))
    assert set(kde_bandwidth.PUBLISHED) <= set(kde_bandwidth.SCALES["paper"].bandwidths)


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES)
def test_claims_agree_where_a_tiny_scale_can_tell_and_follow_from_the_saved_data(ran, picture):
    folder, found = ran[0], ran[1][picture]
    for ending in (".png", ".svg", ".nc"):
        assert (folder / f"{picture.NAME}{ending}").exists()
    assert found
    for claim in found:
        if not claim.statement.startswith(COARSE.get(picture, ("no such claim",))):
            assert claim.agrees, claim
    data = saved(ran, picture)
    again = [claim._replace(picture=picture.NAME) for claim in picture.compare(data)]
    assert [claim[:6] for claim in again] == [claim[:6] for claim in found]
    assert data.attrs["title"] and data.attrs["heading"] and data.attrs["note"]


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES)
def test_drawing_computes_nothing_and_gives_the_same_picture(ran, picture, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("draw computed something")

    data = saved(ran, picture)
    monkeypatch.setattr(sc, "simulate", never)
    monkeypatch.setattr(picture, "compute", never)
    for module in (theory, kde_error, kde_scaled):
        for name in [n for n in vars(module) if n.endswith(("_exact", "_limit"))]:
            monkeypatch.setattr(module, name, never)
    with mpl.rc_context(style.SETTINGS):
        image = io.BytesIO()
        picture.draw(data).savefig(image, format="png", dpi=style.DPI, metadata={"Software": None})
    assert image.getvalue() == (ran[0] / f"{picture.NAME}.png").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "line", "factor", "words"),
    [
        (kde, "trace_theory", 1.1, "(model variance)"),
        (kde, "mean_error_theory", 1.5, "(error of the mean)"),
        (kde_schedule, "spread_theory", 1.15, "(second moment)"),
        (kde_schedule, "textbook_theory", 1.3, "(textbook rule"),
        (kde_schedule, "mise_curve", 1.2, "(integrated squared error)"),
    ],
)
def test_a_wrong_theory_line_is_noticed(ran, picture, line, factor, words):
    data = saved(ran, picture)
    wrong = data.assign({line: data[line] * factor})
    found = [claim for claim in picture.compare(wrong) if words in claim.statement]
    assert [claim.agrees for claim in found] == [False]


@pytest.mark.slow
def test_workflows_that_are_exchanged_are_noticed(ran):
    data = saved(ran, kde)
    swapped = data.assign_coords(workflow=[data["workflow"].values[i] for i in (2, 1, 0)])
    found = [c for c in kde.compare(swapped) if c.statement.startswith(("(b)", "… slowly"))]
    assert [claim.agrees for claim in found] == [False, False]


def test_integrated_error_of_a_model_is_that_of_quadrature():
    """One kernel at distance b from the center: the integral over the plane, one axis at a time."""
    place, width = np.array([[0.8, -0.3]]), 0.7
    weight = np.array([1.0, 0.0])
    model = xr.Dataset(
        {
            "model_points": (("support", "dim"), np.concatenate([place, [[9.0, 9.0]]])),
            "model_weight": ("support", weight),
            "model_bandwidth": width,
        }
    )

    def product(first, second, axis):
        """integral of the product of two normal densities along one axis; each is (center, standard deviation)."""

        def density(x, law):
            return np.exp(-((x - law[0][axis]) ** 2) / (2 * law[1] ** 2)) / (law[1] * np.sqrt(2 * np.pi))

        return quad(lambda x: density(x, first) * density(x, second), -12, 12, epsabs=1e-13)[0]

    kernel, truth = (place[0], width), (np.zeros(2), 1.0)
    pairs = ((kernel, kernel, 1), (kernel, truth, -2), (truth, truth, 1))
    expected = sum(sign * product(a, b, 0) * product(a, b, 1) for a, b, sign in pairs)
    np.testing.assert_allclose(kde_schedule.integrated_error(model), expected, rtol=1e-10)


def test_limits_and_best_exponents():
    """The sum beyond 100 000 rounds is an integral; the best exponent is where the error turns."""
    n, exponent = 50, 0.3
    exact = theory.accumulate_second_moment_exact(
        sigma=1.0, bandwidths=kde_schedule.schedule(n, exponent, 20_000), rounds=20_000
    )
    left = kde_schedule.first_bandwidth(n) ** 2 * 20_000 ** (-2 * exponent) * (1 / (2 * exponent) - 1)
    np.testing.assert_allclose(kde_schedule.bounded_limit(n, exponent) - exact[-1], left, rtol=1e-3)
    best = kde_schedule.best_exponent("accumulate", n, 10)
    errors = [kde_schedule.mise("accumulate", n, best + step, 10)[-1] for step in (-0.03, 0.0, 0.03)]
    assert errors[1] < min(errors[0], errors[2])
    assert kde_schedule.best_exponent("replace", 10, 10) == 0


def test_normal_points_have_the_laws_moments():
    points = kde.normal_points(500)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(points.T @ points / 500, np.eye(2), atol=1e-12)
    # the mean of |x|^4 is 8
    np.testing.assert_allclose(np.mean(np.sum(points**2, axis=1) ** 2), 8, rtol=0.03)
