"""A tiny scale, end to end: files, claims, pictures redrawn from saved data, and a planted error."""

import dataclasses
import io

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

import simcollapse as sc
from simcollapse import reproduce
from simcollapse.reproduce import report, style
from simcollapse.reproduce.yi_regimes import paths, phase_map, real_data, regimes, trajectories
from theory import knowledge_center

PICTURES = (regimes, phase_map, paths, real_data)
SETTING = regimes.Setting(rounds=6)
BLOCK = 64  # the same everywhere: three of the four pictures share one compiled program
TINY = {
    regimes: regimes.Config(chains=500, setting=SETTING, block_size=BLOCK),
    phase_map: phase_map.Config(
        chains=150, biases=5, radii=4, setting=SETTING, shown=(1, 2, 4, 6), block_size=BLOCK
    ),
    paths: paths.Config(chains=500, setting=SETTING, block_size=BLOCK),
    real_data: real_data.Config(chains=300, rounds=4),
}


def user_file(folder):
    random = np.random.default_rng(11)
    x = random.normal(size=(60, 2)) * [1.0, 20.0] + [50.0, 0.0]
    y = 3 + x @ [2.0, -0.1] + random.normal(size=60)
    path = folder / "mine.csv"
    lines = ["height,weight,note,price", *(f"{a},{b},ok,{c}" for (a, b), c in zip(x, y, strict=True))]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder and claims of a run of all four pictures, the real data being the user's own."""
    folder = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        for picture, config in TINY.items():
            patch.setitem(picture.SCALES, "quick", config)
        claims = reproduce.run(
            "yi-regimes",
            out=folder / "new" / "out",
            data=user_file(folder),
            target="price",
            columns=["height", "weight"],
            seed=3,
        )
    return folder / "new" / "out", claims


def saved(ran, picture) -> xr.Dataset:
    return report.load_data(ran[0] / f"{picture.NAME}.nc")


def test_files_are_there(ran):
    folder, _ = ran
    names = {path.name for path in folder.iterdir()}
    expected = {f"{p.NAME}.{ending}" for p in PICTURES for ending in ("png", "svg", "nc")}
    assert names == expected | {"yi-regimes-claims.csv"}


def test_claims_are_computed_for_every_picture(ran):
    folder, claims = ran
    assert {claim.picture for claim in claims} == {p.NAME for p in PICTURES}
    for claim in claims:
        assert claim.statement and claim.source and claim.measured and claim.wanted
        assert isinstance(claim.agrees, bool)
        assert np.isfinite(claim.value)
    lines = (folder / "yi-regimes-claims.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(reproduce.Claim._fields)
    assert len(lines) == len(claims) + 1


def test_closed_forms_lie_on_the_simulation_even_with_few_chains(ran):
    exact = [claim for claim in ran[1] if "exact chain)" in claim.statement]
    assert [claim.picture for claim in exact] == [regimes.NAME, phase_map.NAME, paths.NAME]
    assert all(claim.agrees for claim in exact)
    gains = [claim for claim in ran[1] if claim.statement.startswith(("near-term gain", "a bias too large"))]
    assert len(gains) == 6
    assert all(claim.agrees for claim in gains)


@pytest.mark.parametrize("picture", PICTURES)
def test_saved_data_gives_the_same_claims(ran, picture):
    again = [claim._replace(picture=picture.NAME) for claim in picture.compare(saved(ran, picture))]
    first = [claim for claim in ran[1] if claim.picture == picture.NAME]
    assert str(again) == str(first)  # as text: a NaN is not equal to itself


@pytest.mark.parametrize("picture", PICTURES)
def test_drawing_computes_nothing_and_gives_the_same_picture(ran, picture, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("draw computed something")

    data = saved(ran, picture)
    for module, name in (
        (sc, "sweep"),
        (sc, "simulate"),
        (picture, "compute"),
        (np.random, "default_rng"),
        *((knowledge_center, name) for name in knowledge_center.__all__),
    ):
        monkeypatch.setattr(module, name, never)
    with mpl.rc_context(style.SETTINGS):
        figure = picture.draw(data)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=style.DPI, metadata={"Software": None})
    assert image.getvalue() == (ran[0] / f"{picture.NAME}.png").read_bytes()


@pytest.mark.parametrize("picture", PICTURES)
def test_computing_again_gives_the_same_data_and_it_survives_the_file(ran, picture, tmp_path):
    if picture in (phase_map, real_data):
        data = saved(ran, picture)
    else:
        data = picture.compute(dataclasses.replace(TINY[picture], seed=3))
        xr.testing.assert_identical(data, saved(ran, picture))
    report.save_data(data, tmp_path / "again.nc")
    xr.testing.assert_identical(report.load_data(tmp_path / "again.nc"), data)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_wrong_theory_line_is_noticed(ran, factor):
    for picture, name in ((regimes, "theory"), (phase_map, "exact"), (real_data, "theory")):
        data = saved(ran, picture)
        wrong = data.assign({name: data[name] * factor})
        claim = next(c for c in picture.compare(wrong) if c.statement.startswith("the closed form"))
        assert not claim.agrees, picture.NAME
    data = saved(ran, paths)
    wrong = data.assign(exact_path=data["exact_path"] * factor)
    assert not next(c for c in paths.compare(wrong) if "mean path is" in c.statement).agrees


def test_a_claim_that_is_false_is_reported_as_failing(ran):
    data = saved(ran, regimes)
    swapped = data.assign_coords(
        regime=list(trajectories.RATIOS)[::-1]
    )  # degradation passed off as improvement
    verdicts = [claim.agrees for claim in regimes.compare(swapped)]
    assert verdicts.count(False) >= 5


def test_the_users_table_is_named_in_picture_and_note(ran):
    data = saved(ran, real_data)
    assert data.attrs["source"] == "mine.csv, 60 rows"
    assert data.attrs["heading"].startswith("mine.csv: 60 rows, 2 covariates, y = price; ")
    assert "Breusch-Pagan" in data.attrs["note"]


def test_the_embedded_table_is_diabetes_and_longer_ones_are_cut():
    table = real_data._rows(real_data.Config(chains=1))
    assert table.X.shape == (442, 10)
    np.testing.assert_allclose(table.X.std(axis=0), 1)
    short = real_data._rows(real_data.Config(chains=1, most_rows=100))
    assert short.X.shape == (100, 10)
    assert short.source.endswith("of which 100 drawn at random (seed 0)")


def test_the_covariance_of_the_first_fit_is_the_simulated_one(ran):
    """Round 0 of the closed form comes from redrawn fits in NumPy; here only its trace, over all regimes."""
    data = saved(ran, real_data)
    variance = np.diagonal(data["error_covariance"], axis1=1, axis2=2)[:, 0]
    z = (data["error"][:, 0].mean() - data["theory"][0, 0]) / np.sqrt(variance.sum() / len(variance) ** 2)
    assert abs(float(z)) < 4.9  # 1e-6


def test_phases_of_a_known_path():
    error = xr.DataArray(
        [[1.0, 0.5, 0.55, 0.7, 1.1, 0.9]], dims=("cell", "round"), coords={"round": range(6)}
    )
    phases = phase_map._phase(error, phase_map._past_best(error))[0]
    assert [phase_map.PHASES[i] for i in phases.to_numpy()] == ["gain"] * 3 + [
        "plateau",
        "reversal",
        "plateau",
    ]
    assert int(phase_map._latest_safe(error)[0]) == 5
    np.testing.assert_allclose(
        phase_map._crossing(np.array([[1, 0.5, 2.0], [1, 0.5, 0.9], [1, 2, 3]])), [1.5, 2, 0.5]
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([f"{i},{2 * i},{i % 3}" for i in range(30)], "must be linearly independent, got rank 2"),
        (
            [f"{int(i == 0)},{i},{i % 3}" for i in range(30)],
            "rows drawn from it with replacement do not always",
        ),
    ],
)
def test_a_table_without_a_fit_is_refused_before_any_picture_is_made(tmp_path, monkeypatch, rows, words):
    monkeypatch.setattr(regimes, "compute", lambda config: pytest.fail("a picture was computed"))
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *rows]))
    with pytest.raises(ValueError, match=words):
        reproduce.run("yi-regimes", data=tmp_path / "t.csv", target="y", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "yi-regime"}, ValueError, "name must be one of .* Did you mean 'yi-regimes'"),
        ({"scale": "papers"}, ValueError, "scale must be one of .* Did you mean 'paper'"),
        ({"seed": -1}, ValueError, "seed must be a whole number >= 0, got -1"),
        ({"data": "table.csv"}, ValueError, "data 'table.csv' needs target"),
        ({"target": "y"}, ValueError, "target goes with data, got target='y' without it"),
        ({"data": "diabetis"}, ValueError, "Did you mean 'diabetes'"),
        ({"data": "diabetes", "target": "y"}, ValueError, "target belongs to a file"),
        ({"data": "nowhere.csv", "target": "y"}, FileNotFoundError, "no data file at nowhere.csv"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(tmp_path, arguments, error, words):
    out = tmp_path / "out"
    with pytest.raises(error, match=words):
        reproduce.run(**({"name": "yi-regimes", "out": out} | arguments))
    assert not out.exists()


def test_a_table_too_short_for_its_columns_says_so():
    random = np.random.default_rng(0)
    table = real_data.Table(
        random.integers(0, 2, (12, 8)).astype(float), random.normal(size=12), tuple("abcdefgh"), "t", "y"
    )
    with pytest.raises(
        ValueError, match="12 rows drawn from it with replacement do not always determine a fit"
    ):
        real_data.compute(real_data.Config(chains=2, table=table))


@pytest.mark.slow
@pytest.mark.timeout(600)  # under a minute on two idle cores
def test_the_quick_scale_agrees(tmp_path):
    claims = reproduce.run("all", out=tmp_path)
    assert [claim for claim in claims if not claim.agrees] == []
