"""The pictures of what real rows are worth, at a tiny scale: files, claims, redrawing, planted errors."""

import io

import matplotlib as mpl
import numpy as np
import pytest

import simcollapse as sc
from simcollapse import reproduce
from simcollapse.reproduce import report, style
from simcollapse.reproduce.real_rows import (
    best_share,
    delete_real,
    equal_cost,
    golden_ratio,
    real_share,
    strategies,
    strong_collapse,
    value,
)

TINY = {
    strong_collapse: strong_collapse.Config(chains=2_000, sizes=(6_400, 25_600, 102_400)),
    value: value.Config(chains=3_000, qualities=(0.5, 4.0), ratios=(0.25, 1.0, 8.0)),
    real_share: real_share.Config(chains=4_000, rounds=30, shares=(0.02, 0.1, 0.4, 1.0)),
    delete_real: delete_real.Config(chains=2_000, rounds=24, deleted_at=(1, 8)),
    golden_ratio: golden_ratio.Config(chains=6_000),
    strategies: strategies.Config(chains=1_000, rounds=20),
    best_share: best_share.Config(
        chains=4_000, kde_chains=0, n_real=(30, 60, 120), shares=(0.0, 0.1, 0.3, 0.6)
    ),
    equal_cost: equal_cost.Config(chains=2_000, rounds=30),
}
# What so few shares, rounds or chains cannot show.
COARSE = {
    real_share: ("there is no threshold",),
    delete_real: ("a sliding window",),
    strategies: ("uniform", "stratified", "preferring"),
    golden_ratio: ("(E6)", "generated rows never"),
    best_share: ("the best share falls", "… with the factor", "a density estimate"),
    equal_cost: ("at equal training cost", "a fixed budget"),
}
FAST = (strong_collapse,)
PICTURES = [pytest.param(p, marks=[] if p in FAST else [pytest.mark.slow], id=p.NAME) for p in TINY]
pytestmark = pytest.mark.timeout(300)


class Runs:
    """Claims by picture, computed when a test first asks for them."""

    def __init__(self, folder):
        self.folder, self._claims = folder, {}

    def claims(self, picture):
        if picture not in self._claims:
            with pytest.MonkeyPatch.context() as patch:
                name, pictures = next((n, p) for n, p in reproduce.KNOWN.items() if picture in p)
                for each in pictures:
                    patch.setattr(each, "SCALES", {"quick": TINY[each]})
                found = reproduce.run(name, out=self.folder, seed=1)
            for each in pictures:
                self._claims[each] = [claim for claim in found if claim.picture == each.NAME]
        return self._claims[picture]

    def data(self, picture):
        self.claims(picture)
        return report.load_data(self.folder / f"{picture.NAME}.nc")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("real_rows"))


def test_the_figures_are_known():
    pictures = [picture for figure in reproduce.KNOWN.values() for picture in figure]
    assert set(TINY) <= set(pictures)
    assert all(figure[0].NAME == name for name, figure in reproduce.KNOWN.items())


def test_ratios_are_whole_numbers_of_rows():
    """Their exact errors are those of the ratio, not of rounded rows."""
    for config in (*value.SCALES.values(), TINY[value]):
        for ratio in (*config.ratios, *config.qualities):
            assert (ratio * value.REAL).is_integer(), ratio
    for config in (*real_share.SCALES.values(), TINY[real_share]):
        assert np.allclose(np.array(config.shares) * real_share.ROWS % 1, 0), config.shares
    for config in (*golden_ratio.SCALES.values(), TINY[golden_ratio]):
        assert np.allclose(np.array(config.shares) * golden_ratio.ROWS % 1, 0), config.shares


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES)
def test_files_are_there_and_claims_agree_where_a_tiny_scale_can_tell(ran, picture):
    found = ran.claims(picture)
    assert found
    for ending in (".png", ".svg", ".nc"):
        assert (ran.folder / f"{picture.NAME}{ending}").exists()
    for claim in found:
        if not claim.statement.startswith(COARSE.get(picture, ("no such claim",))):
            assert claim.agrees, claim
        assert claim.agrees or claim.unclear, claim


@pytest.mark.parametrize("picture", PICTURES)
def test_drawing_computes_nothing_and_gives_the_same_picture(ran, picture, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("draw computed something")

    data = ran.data(picture)
    for module, name in ((sc, "simulate"), (sc, "sweep"), (picture, "compute")):
        monkeypatch.setattr(module, name, never)
    with mpl.rc_context(style.SETTINGS):
        image = io.BytesIO()
        picture.draw(data).savefig(image, format="png", dpi=style.DPI, metadata={"Software": None})
    assert image.getvalue() == (ran.folder / f"{picture.NAME}.png").read_bytes()


@pytest.mark.parametrize(
    ("picture", "line", "words"),
    [
        pytest.param(strong_collapse, "error_theory", "(F1) lies"),
        pytest.param(value, "error_theory", "the exact law holds: regression", marks=pytest.mark.slow),
        pytest.param(real_share, "error_theory", "the exact factor of a mean holds", marks=pytest.mark.slow),
        pytest.param(delete_real, "error_theory", "the exact errors lie", marks=pytest.mark.slow),
        pytest.param(golden_ratio, "mean_theory", "(E1) lies", marks=pytest.mark.slow),
        pytest.param(strategies, "error_theory", "the exact errors lie", marks=pytest.mark.slow),
        pytest.param(equal_cost, "error_theory", "the exact errors lie", marks=pytest.mark.slow),
        pytest.param(best_share, "best_theory", "the best share is G/(2n)", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_theory_line_is_noticed(ran, picture, line, words):
    data = ran.data(picture)
    wrong = data.assign({line: data[line] * 1.25})
    found = [claim for claim in picture.compare(wrong) if claim.statement.startswith(words)]
    assert found and not any(claim.agrees for claim in found)


def test_claims_that_are_false_fail(ran):
    """A floor that rows could lower: the errors of the last size set to a quarter."""
    data = ran.data(strong_collapse)
    scale = np.where(data["rows"] == data["rows"].max(), 0.25, 1.0)
    wrong = data.assign(error=data["error"] * scale[None])
    found = {c.statement: c for c in strong_collapse.compare(wrong)}
    assert not any(c.agrees for words, c in found.items() if words.startswith("… so that four times"))
