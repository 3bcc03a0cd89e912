"""What run directories hold, to compare them."""

import json

import numpy as np
import xarray as xr

from simcollapse.runs.store import ARRAYS, MARKS


def chunks(run):
    """Bytes of every chunk of a run's store by path."""
    folder = run.folder / ARRAYS
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert not [path for path in files if path.suffix == ".partial"]
    return files


def assert_same_files(one, other):
    """Store files equal by their bytes, and marks that vouch for the same."""
    first, second = chunks(one), chunks(other)
    assert first.keys() == second.keys()
    assert len(first) > one.layout.num_parts
    for path, data in first.items():
        assert data == second[path], path
    marks = [{p.name: json.loads(p.read_text()) for p in (r.folder / MARKS).iterdir()} for r in (one, other)]
    assert marks[0] == marks[1]


def assert_same_results(one: xr.Dataset, other: xr.Dataset):
    """Equal to the bit, coordinates and attributes but the number of devices too."""
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        assert one[name].dims == other[name].dims, name
        assert one[name].dtype == other[name].dtype, name
        assert one[name].attrs == other[name].attrs, name
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))
    loose = ("num_devices",)
    assert {k: v for k, v in one.attrs.items() if k not in loose} == {
        k: v for k, v in other.attrs.items() if k not in loose
    }
