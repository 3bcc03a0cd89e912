import re

import numpy as np
import pandas as pd
import pytest

from simcollapse.data import find_file, load_table, read_table, standardise

ROWS = 12


def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    values = random.normal(size=(ROWS, 3))
    return pd.DataFrame(
        {"age": values[:, 0], "weight": values[:, 1], "count": np.arange(ROWS), "y": values[:, 2]}
    )


def write(tmp_path, table: pd.DataFrame, name: str = "table.csv"):
    path = tmp_path / name
    if name.endswith(".parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.parquet", "TABLE.CSV"])
def test_what_was_written_is_read(tmp_path, name):
    table = read_table(write(tmp_path, frame(), name), target="y")
    np.testing.assert_array_equal(table.X, frame()[["age", "weight", "count"]].to_numpy(dtype=float))
    np.testing.assert_array_equal(table.y, frame()["y"].to_numpy())
    assert table.names == ("age", "weight", "count")
    assert table.source == f"{name}, {ROWS} rows"
    assert table.target == "y"


def test_columns_are_taken_in_the_order_asked_for(tmp_path):
    table = read_table(write(tmp_path, frame()), target="count", columns=["weight", "age"])
    np.testing.assert_array_equal(table.X, frame()[["weight", "age"]].to_numpy())
    np.testing.assert_array_equal(table.y, np.arange(ROWS))


def test_a_file_is_found_below_the_data_folder(tmp_path, monkeypatch):
    path = write(tmp_path, frame())
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    assert find_file("table.csv") == path
    assert len(read_table("table.csv", target="y").y) == ROWS


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMCOLLAPSE_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=rf"no data file at nowhere\.csv or {re.escape(str(tmp_path))}"
    ):
        read_table("nowhere.csv", target="y")
    monkeypatch.delenv("SIMCOLLAPSE_DATA")
    with pytest.raises(FileNotFoundError, match=r"\$SIMCOLLAPSE_DATA is not set"):
        read_table("nowhere.csv", target="y")


def test_an_unknown_column_names_the_nearest_and_all(tmp_path):
    path = write(tmp_path, frame())
    with pytest.raises(
        ValueError, match=r"no column 'wieght'; it has \['age', .*\]\. Did you mean 'weight'\?"
    ):
        read_table(path, target="y", columns=["wieght"])
    with pytest.raises(
        ValueError, match=r"table\.csv has no column 'zzz'; it has \['age', 'weight', 'count', 'y'\]$"
    ):
        read_table(path, target="zzz")


@pytest.mark.parametrize("columns", [["y"], ["age", "age"], []])
def test_columns_that_make_no_sense(tmp_path, columns):
    with pytest.raises(
        ValueError, match="columns must name one or more covariates, each once and not the target"
    ):
        read_table(write(tmp_path, frame()), target="y", columns=columns)


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_column_of_words_names_its_first_offending_row(tmp_path, name):
    table = frame().astype({"weight": object})
    table.loc[4, "weight"] = "heavy"
    if name.endswith(".parquet"):
        table["weight"] = table["weight"].astype(str)
    with pytest.raises(ValueError, match=r"column 'weight' of .* must be numeric, got 'heavy' in row 5;"):
        read_table(write(tmp_path, table, name), target="y")


def test_dates_are_not_numbers(tmp_path):
    table = frame().assign(day=pd.Timestamp("2024-02-01"))
    with pytest.raises(ValueError, match=r"column 'day' of .* must be numeric, got '2024-02-01.*' in row 1;"):
        read_table(write(tmp_path, table, "table.parquet"), target="y")


def test_words_in_a_column_that_is_not_used_do_not_matter(tmp_path):
    table = read_table(write(tmp_path, frame().assign(name="a")), target="y", columns=["age"])
    assert table.X.shape == (ROWS, 1)


def test_a_missing_value_is_an_error_that_names_its_row(tmp_path):
    table = frame()
    table.loc[[3, 7], "age"] = np.nan
    path = write(tmp_path, table)
    with pytest.raises(
        ValueError, match=r"column 'age' of table\.csv has no value in row 4 \(2 of 12 rows lack one\)"
    ):
        read_table(path, target="y")
    kept = read_table(path, target="y", drop_missing=True)
    assert kept.X.shape == (ROWS - 2, 3)
    assert kept.source == "table.csv, 10 rows (2 of 12 left out for a missing value)"


def test_an_infinite_value_is_an_error_even_where_missing_ones_are_dropped(tmp_path):
    table = frame()
    table.loc[2, "y"] = np.inf
    with pytest.raises(ValueError, match=r"column 'y' of .* must be finite, got inf in row 3"):
        read_table(write(tmp_path, table), target="y", drop_missing=True)


def test_too_few_rows(tmp_path):
    with pytest.raises(ValueError, match=r"must have at least 6 complete rows to fit 3 covariates .*, got 5"):
        read_table(write(tmp_path, frame().head(5)), target="y")


def test_other_formats_and_broken_files(tmp_path):
    (tmp_path / "table.xlsx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"a table must end in \.csv or \.parquet, got table\.xlsx"):
        read_table(tmp_path / "table.xlsx", target="y")
    for name in ("empty.csv", "empty.parquet"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a \w+ table"):
            read_table(tmp_path / name, target="y")


def test_the_bundled_table():
    table = load_table("diabetes")
    assert table.X.shape == (442, 10)
    assert table.names[:3] == ("age", "sex", "bmi")
    assert (table.y.min(), table.y.max()) == (25, 346)  # as in Efron et al. 2004
    assert "scikit-learn" in table.source
    with pytest.raises(ValueError, match=r"got 'diabetis'\. Did you mean 'diabetes'\?"):
        load_table("diabetis")


def test_standardised_columns():
    table = standardise(load_table("diabetes"))
    np.testing.assert_allclose(table.X.mean(axis=0), 0, atol=1e-13)  # rounding of 442 sums
    np.testing.assert_allclose(table.X.std(axis=0), 1, rtol=1e-13)
    constant = table._replace(X=np.column_stack([table.X[:, :1], np.full(442, 0.1)]), names=("age", "one"))
    with pytest.raises(ValueError, match="column 'one' is the same in every row"):
        standardise(constant)
