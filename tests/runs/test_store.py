"""What is written is what `sweep` returns, to the bit; what is torn, foreign or damaged is seen."""

import json
import shutil
import struct
import sys
import zlib

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

import simcollapse as sc
from simcollapse import runs
from simcollapse.cli import main
from simcollapse.runs import chunks, directory, layout, runner, summary
from simcollapse.runs import config as configs
from simcollapse.runs.store import ARRAYS, MARKS, Store, create
from tests.runs.helpers import assert_same_files, assert_same_results
from tests.runs.helpers import chunks as chunks_of


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of the finished run that a test may damage."""
    return directory.open_run(shutil.copytree(whole.folder, tmp_path / "copy"))


def again(copy):
    return runs.run(copy.folder / directory.CONFIG, copy.folder, progress=False)


def files(folder):
    """Bytes of every file by path, but of the locks."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith(directory.LOCK)
    }


def log(run):
    return (run.folder / directory.LOG).read_text()


def chunk(run, name, part):
    """The file of a chunk."""
    return next((run.folder / ARRAYS / name).glob(f"c.{part}.*"))


def test_a_run_holds_the_bits_of_sweep(whole, swept):
    assert whole.layout.num_parts > len(whole.layout.block_sizes) == 2
    assert whole.layout.places[0] % whole.layout.part_size  # the last part is padded
    assert_same_results(whole.load(), swept)


def test_any_reader_of_zarr_opens_the_store(whole, swept):
    store = xr.open_zarr(whole.folder / ARRAYS, consolidated=False)
    rows = store.isel(place=store["cell"].values >= 0)
    assert rows.sizes == {"place": 168, "round": 4}
    for cell, noise in ((0, 0.5), (3, 1.0)):
        mine = rows.isel(place=rows["cell"].values == cell)
        np.testing.assert_array_equal(mine["chain"], np.arange(42))
        workflow = ["replace", "accumulate"][cell % 2]
        wanted = swept.sel({"task.noise": noise, "workflow": workflow})
        np.testing.assert_array_equal(mine["squared_error"], wanted["squared_error"])
        np.testing.assert_array_equal(mine["alive"], wanted["alive"])


@pytest.mark.parametrize("kind", chunks._DTYPES)
@pytest.mark.parametrize("shape", [(), (4,), (4, 3, 2)])
def test_metadata_are_those_that_zarr_writes(tmp_path, kind, shape):
    """And an array of Zarr's own making, with other numbers inside, is read as ours."""
    create(tmp_path, 3, 5, {"number": (shape, np.dtype(kind))})
    made = chunks.metadata("number", 5, 3, shape, np.dtype(kind))
    group = zarr.create_group(tmp_path / "theirs")
    array = group.create_array(
        "number",
        shape=(15, *shape),
        chunks=(5, *shape),
        dtype=kind,
        fill_value=0,
        serializer=zarr.codecs.BytesCodec(endian="little"),
        compressors=None if kind.startswith("float") else zarr.codecs.ZstdCodec(level=1),
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=made["dimension_names"],
    )
    assert json.loads((tmp_path / "theirs" / "number" / "zarr.json").read_text()) == made
    assert json.loads((tmp_path / "theirs" / "zarr.json").read_text()) == chunks.GROUP
    ours = zarr.open_group(tmp_path / ARRAYS, mode="r")["number"]
    assert (ours.shape, ours.chunks, ours.dtype) == (array.shape, array.chunks, array.dtype)
    array[:] = np.random.default_rng(0).integers(0, 2, array.shape)
    read = chunks.Chunks(tmp_path / "theirs" / "number")
    np.testing.assert_array_equal(read.decode(read.bytes_of(2)), array[10:])
    shutil.copytree(tmp_path / "theirs", tmp_path / ARRAYS, dirs_exist_ok=True)
    Store(tmp_path, 3, 5, "")


def test_numbers_that_zarr_has_no_name_for_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"model must be numbers of one of the kinds bool, .*, got .*complex"):
        create(tmp_path, 3, 5, {"model": ((4,), np.dtype(complex))})


def test_a_store_is_written_and_read_without_zarr(tiny, tmp_path, monkeypatch):
    """Importing it takes longer than a short run, and its thread is out of an interrupt's reach."""
    for name in [name for name in sys.modules if name.split(".")[0] == "zarr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert runs.run(tiny, tmp_path / "run", progress=False).load().sizes["chain"] == 42


@pytest.mark.parametrize("workers", [1, 40])
def test_streams_have_the_bits_of_sweep_however_the_run_is_cut(tiny, tmp_path, workers):
    config = configs.read(tiny, ["record='summary'", "chains=70"])  # blocks that two cells share
    experiment, plain = runner.prepare(config)
    runner.open_or_make(tmp_path / "run", plain, experiment, workers)
    run = runs.run(config, tmp_path / "run", progress=False)
    assert run.layout.part_size == {1: 32, 40: 16}[workers]
    assert_same_results(run.load(), sc.sweep(**configs.arguments(config), progress=False))


def test_models_and_ready_made_choices(tmp_path):
    table = {
        "task": sc.linear_regression([1.0, -1.0]),
        "workflow": sc.replace(),
        "n_real": 30,
        "n_per_round": [30, 25, 30],
        "rounds": 3,
        "chains": 20,
        "engine": "law",
        "record_model": True,
        "block_size": 16,
    }
    run = runs.run(table, tmp_path / "run", progress=False)
    result = run.load()
    assert result["model_coef"].dims == ("chain", "round", "dim")
    swept = sc.sweep(**configs.arguments(configs.from_table(table)), progress=False)
    assert_same_results(result, swept)
    with pytest.raises(ValueError, match=r"holds a run of another config .*task.*digest"):
        runs.run(table | {"task": sc.linear_regression([1.0, -1.0 + 1e-9])}, tmp_path / "run", progress=False)
    assert runs.run(table, tmp_path / "run", progress=False).finished


def test_frozen_chains_are_told_as_sweep_tells_them(tmp_path):
    table = {"task": {"name": "linear_regression", "truth": [1.0, -1.0]}, "n_real": 30, "n_per_round": 30}
    table |= {"verifier": {"name": "random", "rate": 0.03}, "rounds": 2, "chains": 20, "block_size": 16}
    for record in ("chains", "summary"):
        config = configs.from_table(table | {"record": record})
        run = runs.run(config, tmp_path / record, progress=False)
        with pytest.warns(UserWarning, match="chains froze") as told:
            result = run.load()
        with pytest.warns(UserWarning, match="chains froze") as wanted:
            swept = sc.sweep(**configs.arguments(config), progress=False)
        assert str(told[0].message) == str(wanted[0].message)
        assert_same_results(result, swept)
        written = json.loads((run.folder / "summary.json").read_text())
        assert written["num_frozen"] == swept.attrs["num_frozen"] > 0


def test_a_finished_run_has_nothing_left_to_do(copy, whole):
    assert_same_files(again(copy), whole)
    assert log(copy).endswith("nothing was left to do\n") or "nothing was left to do" in log(copy)


@pytest.mark.parametrize("harm", ["short", "longer", "other bits", "gone", "mark torn", "mark empty"])
def test_a_torn_part_is_refused_when_read_and_computed_again(copy, whole, harm):
    path, mark = chunk(copy, "squared_error", 2), copy.folder / MARKS / "000002.json"
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm.startswith("mark"):
        mark.write_text("" if harm == "mark empty" else mark.read_text()[:40])
    else:
        path.write_bytes({"short": data[:-1], "longer": data + b"0", "other bits": data[:-1] + b"!"}[harm])
    with pytest.raises(runs.DamagedStore, match=r"torn or missing|is damaged"):
        copy.load()
    assert_same_files(again(copy), whole)
    assert "1 were torn and are computed again; computing 1 on" in log(copy)


def test_half_written_files_are_swept_up(copy, whole):
    for place in (f"{ARRAYS}/alive", f"{ARRAYS}/cell", MARKS):
        (copy.folder / place / "3.99.partial").write_bytes(b"half")
    assert_same_files(again(copy), whole)
    assert "3 half-written files removed" in log(copy)


@pytest.mark.parametrize("name", ["notes.txt", "000099.json", "000001.json.old"])
def test_a_foreign_file_among_the_marks_is_refused(copy, name):
    (copy.folder / MARKS / name).write_text("{}")
    with pytest.raises(runs.DamagedStore, match=name.replace(".", r"\.")):
        again(copy)


def test_a_mark_of_another_run_is_refused(copy):
    mark = copy.folder / MARKS / "000001.json"
    mark.write_text(mark.read_text().replace(copy.meta["fingerprint"], "0" * 32))
    for use in (lambda: again(copy), copy.load):
        with pytest.raises(
            runs.DamagedStore, match=r"000001\.json was written by a run of another configuration"
        ):
            use()


@pytest.mark.parametrize(
    "harm",
    [
        "array gone",
        "array more",
        "metadata torn",
        "metadata empty",
        "metadata short",
        "other type",
        "other codec",
        "group torn",
        "store gone",
        "other shape",
    ],
)
def test_a_damaged_store_is_refused(copy, harm):
    store = copy.folder / ARRAYS
    if harm == "array gone":
        shutil.rmtree(store / "alive")
    elif harm == "array more":
        zarr.open_group(store).create_array("more", shape=(168,), chunks=(16,), dtype=float)
    elif harm == "metadata torn":
        (store / "alive" / "zarr.json").write_text("{")
    elif harm == "metadata empty":
        (store / "alive" / "zarr.json").write_text("")
    elif harm == "metadata short":
        (store / "alive" / "zarr.json").write_text('{"shape": [], "chunk_grid": {}, "node_type": "array"}')
    elif harm in ("other type", "other codec"):
        path = store / "cell" / "zarr.json"
        kind = {"data_type": "complex64"} if harm == "other type" else {"codecs": [{"name": "bytes"}]}
        path.write_text(json.dumps(json.loads(path.read_text()) | kind))
    elif harm == "group torn":
        (store / "zarr.json").write_text('["group"]')
    elif harm == "store gone":
        shutil.rmtree(store)
    else:
        zarr.open_group(store).create_array("alive", shape=(9,), chunks=(3,), dtype=bool, overwrite=True)
    for use in (lambda: again(copy), copy.load):
        with pytest.raises(runs.DamagedStore, match=str(store)):
            use()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "2"}', '{"format": 2}'])
def test_a_damaged_run_json_is_refused(copy, text):
    (copy.folder / directory.META).write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is damaged: "):
        again(copy)


@pytest.mark.parametrize(("number", "advice"), [(1, "use that version for it"), (3, "install a newer one")])
def test_another_format_is_refused_and_left_as_it_is(copy, capsys, number, advice):
    setting = {"simcollapse_version": "9.1"}
    (copy.folder / directory.META).write_text(json.dumps(copy.meta | {"format": number, "setting": setting}))
    before = files(copy.folder)
    words = f"written by simcollapse 9.1 in format {number}, this version reads and writes format 2: {advice}"
    for command in (
        ["run", copy.folder / directory.CONFIG, "--out", copy.folder],
        ["runs", "show", copy.folder],
        ["runs", "plot", copy.folder],
        ["runs", "export", copy.folder, copy.folder / "out.csv"],
    ):
        assert main([str(word) for word in command]) == 3
        assert words in capsys.readouterr().err
    assert files(copy.folder) == before


def test_the_format_is_the_one_that_its_number_stands_for(tmp_path):
    """The files of format 2, byte for byte: whoever changes them must raise FORMAT, and then this test."""
    assert directory.FORMAT == 2
    create(tmp_path, 2, 2, {"number": ((2,), np.float64), "alive": ((), bool)})
    columns = {"number": np.array([[1.0, 2.0], [3.0, 4.0]]), "alive": np.array([True, False])}
    Store(tmp_path, 2, 2, "abc").write(1, columns)
    found = files(tmp_path)
    metadata = {f"store.zarr/{place}zarr.json" for place in ("", "number/", "alive/")}
    assert found.keys() - metadata == {"store.zarr/number/c.1.0", "store.zarr/alive/c.1", "done/000001.json"}
    assert found["store.zarr/number/c.1.0"] == struct.pack("<4d", 1, 2, 3, 4)
    packed = found["store.zarr/alive/c.1"]
    assert numcodecs.Zstd().decode(packed) == b"\1\0"
    checksums = {"alive": f"{len(packed)}-{zlib.crc32(packed):08x}", "number": "32-0ced622b"}
    assert json.loads(found["done/000001.json"]) == {"fingerprint": "abc", "checksums": checksums}


def test_another_configuration_is_refused_with_the_difference(copy):
    with pytest.raises(ValueError, match=r"another config \(chains: 42 -> 41\); name another --out"):
        runs.run(copy.folder / directory.CONFIG, copy.folder, overrides=["chains=41"], progress=False)


def test_a_run_from_before_an_option_goes_on_with_its_default(copy):
    config = {name: value for name, value in copy.meta["config"].items() if name != "audit"}
    (copy.folder / directory.META).write_text(json.dumps(copy.meta | {"config": config}))
    assert again(copy).finished
    with pytest.raises(ValueError, match=r"another config \(audit: True -> False\)"):
        runs.run(copy.folder / directory.CONFIG, copy.folder, overrides=["audit=false"], progress=False)


def test_another_setting_is_told_and_mixed_only_when_asked(copy, whole):
    setting = copy.meta["setting"] | {"jax_version": "0.0.1", "cpu_threads": 99}  # two of those that decide
    (copy.folder / directory.META).write_text(json.dumps(copy.meta | {"setting": setting}))
    assert again(copy).finished  # nothing is left to do, so nothing is mixed
    (copy.folder / MARKS / "000000.json").unlink()
    with pytest.raises(ValueError, match=r"another setting .*cpu_threads: 99 -> .*--mix-settings") as refused:
        again(copy)
    assert "jax_version: '0.0.1' -> " in str(refused.value)
    run = runs.run(copy.folder / directory.CONFIG, copy.folder, mix_settings=True, progress=False)
    assert run.finished
    assert "warning: goes on under another setting: cpu_threads: 99 -> " in log(copy)
    told = directory.open_run(copy.folder).load().attrs["mixed_settings"]
    assert len(told) == 1 and "jax_version: '0.0.1' -> " in told[0]


def test_a_run_of_another_setting_without_a_finished_part_is_begun_anew(copy, whole):
    setting = copy.meta["setting"] | {"jax_version": "0.0.1"}
    (copy.folder / directory.META).write_text(json.dumps(copy.meta | {"setting": setting}))
    for mark in (copy.folder / MARKS).iterdir():
        mark.unlink()
    chunk(copy, "alive", 0).write_bytes(b"of the other setting")
    with pytest.raises(
        ValueError, match=r"no part is done: give the command once without shards .*or remove"
    ):
        runs.run(copy.folder / directory.CONFIG, copy.folder, shard=(0, 2), progress=False)
    run = again(copy)
    assert_same_files(run, whole)
    assert "another setting, and no part was done: jax_version: '0.0.1' -> " in log(run)
    assert "mixed_settings" not in run.load().attrs


def test_single_and_double_precision_are_not_mixed(tiny, tmp_path):
    with pytest.raises(ValueError, match="float64 is False in the config, but JAX is set to double"):
        runs.run(tiny, tmp_path / "run", overrides=["float64=false"])


@pytest.mark.parametrize("name", ["notes.txt", "config.toml", "done", "store.zarr"])
def test_a_folder_with_something_else_is_left_alone(tiny, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"is not empty and no run directory.*{name}"):
        runs.run(tiny, out)
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("when", range(5))
def test_a_directory_half_made_is_made_again(tiny, tmp_path, whole, monkeypatch, when):
    """Killed between any two steps of making it."""
    out, steps = tmp_path / "out", 0

    def step(real):
        def counted(*args, **options):
            nonlocal steps
            steps += 1
            if steps > when:
                raise KeyboardInterrupt
            return real(*args, **options)

        return counted

    with monkeypatch.context() as patch:
        for name in ("create", "write_atomically"):
            patch.setattr(directory, name, step(getattr(directory, name)))
        patch.setattr(directory.layouts, "lay_out", step(layout.lay_out))
        with pytest.raises(KeyboardInterrupt):
            runs.run(tiny, out, progress=False)
            raise KeyboardInterrupt  # whole by now
    run = runs.run(tiny, out, progress=False)
    assert_same_files(run, whole)


def test_shards_in_any_order_fill_the_same_store(tiny, tmp_path, whole):
    out = tmp_path / "out"
    for i in (2, 0, 1):
        assert not (out / "summary.txt").exists()
        run = runs.run(tiny, out, shard=(i, 3), progress=False)
    assert run.finished
    assert (out / "summary.txt").exists()
    assert_same_results(run.load(), whole.load())


def test_a_shard_does_not_sum_up_what_another_has_to_mend(tiny, tmp_path, capsys):
    out = tmp_path / "out"
    for i in (0, 1):
        run = runs.run(tiny, out, shard=(i, 2), progress=False)
    (out / "summary.txt").unlink()
    path = chunk(run, "alive", 1)
    path.write_bytes(path.read_bytes() + b"0")
    assert main(["run", str(tiny), "--out", str(out), "--shard", "0/2"]) == 0
    assert "12 of 12 parts are done" in capsys.readouterr().out
    assert not (out / "summary.txt").exists()
    assert "1 parts of other shards are torn" in log(run)
    runs.run(tiny, out, shard=(1, 2), progress=False)
    assert (out / "summary.txt").exists()
    run.load()


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_an_impossible_shard_is_refused(tiny, tmp_path, shard):
    with pytest.raises(ValueError, match="shard"):
        runs.run(tiny, tmp_path / "out", shard=shard)


def test_counts_are_compressed_and_the_files_are_all_there(whole):
    files = chunks_of(whole)
    parts, names = whole.layout.num_parts, len(whole.record.variables({})) + len(whole.meta["shapes"])
    assert len([path for path in files if path.name != "zarr.json"]) == parts * names


@pytest.mark.parametrize("record", ["chains", "summary"])
def test_a_summary_has_the_same_bits_with_a_check_and_from_parts_that_are_read(tiny, tmp_path, record):
    words = [f"record='{record}'"]
    run = runs.run(tiny, tmp_path / "run", overrides=words, progress=False)
    held = (run.folder / summary.JSON).read_text()
    experiment, _ = runner.prepare(configs.read(tiny, words))
    read = summary.write(run, experiment)
    assert (run.folder / summary.JSON).read_text() == held
    checked = summary.write(run, experiment, check=True)
    assert checked.pop("check")["unknown"]  # too few chains for a judgement
    assert checked == read


def test_summary_is_the_mean_over_chains(whole, swept):
    told = json.loads((whole.folder / "summary.json").read_text())
    assert (told["cells"], told["chains"], told["rounds"], told["num_frozen"]) == (4, 42, 3, 0)
    for cell in told["by_cell"]:
        last = swept.sel(cell["cell"]).isel(round=-1)
        found = cell["last_round"]["squared_error"]
        np.testing.assert_allclose(found["mean"], last["squared_error"].mean(), rtol=1e-13)  # rounding
        error = last["squared_error"].std(ddof=1) / np.sqrt(42)
        np.testing.assert_allclose(found["std_error"], error, rtol=1e-13)
    text = (whole.folder / "summary.txt").read_text()
    assert text.count("\n") == 7
    assert "accumulate" in text
