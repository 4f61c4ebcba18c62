"""HDF5's own call writes what h5py's writes, byte for byte; without it, or when it refuses, h5py's does."""

from __future__ import annotations

import shutil
import subprocess

import h5py
import numpy as np
import pytest

from speeddata import h5library
from speeddata.h5dataset import _write_raw
from speeddata.h5storage import Text

TEXTS = ["rising", "", "falling", "grüße, 世界", "x" * 70_000, *(f"text {number}" for number in range(5000))]


def texts() -> np.ndarray:
    return np.fromiter(TEXTS, object, len(TEXTS))


def write(path, *, compression=None) -> None:
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "t",
            (2 * len(TEXTS),),
            h5py.string_dtype(),
            chunks=(1000,),
            maxshape=(None,),
            compression=compression,
            track_times=False,
        )
        for at in (0, len(TEXTS)):
            _write_raw(made.id, Text(), at, Text().encode(texts()))


def forbid(monkeypatch) -> None:
    monkeypatch.setattr(h5library, "_h5dwrite", None)


def test_hdf5s_own_call_is_found():
    assert h5library._h5dwrite is not None


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_files_are_the_same_byte_for_byte_whichever_call_writes(tmp_path, monkeypatch, compression):
    write(tmp_path / "own.h5", compression=compression)
    forbid(monkeypatch)
    write(tmp_path / "theirs.h5", compression=compression)
    assert (tmp_path / "own.h5").read_bytes() == (tmp_path / "theirs.h5").read_bytes()


def test_h5py_and_h5dump_read_the_text(tmp_path):
    write(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5") as file:
        assert file["t"].asstr()[:].tolist() == TEXTS * 2
    if shutil.which("h5dump") is None:
        pytest.skip("h5dump is not installed")
    dump = ["h5dump", "-d", "t", "-s", "5", "-c", "5000", "-y", "-w", "1", tmp_path / "set.h5"]
    told = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    assert [line.strip(' ",') for line in told.splitlines() if '"text ' in line] == TEXTS[5:]


def test_numbers_and_objects_go_by_h5py(tmp_path, monkeypatch):
    def refuse(*_args: object) -> int:
        raise AssertionError("not for these")

    monkeypatch.setattr(h5library, "_h5dwrite", refuse)
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.create_dataset("n", (3,), "f8")
        file.create_dataset("t", (3,), h5py.string_dtype())
        for name, values in (("n", np.arange(3.0)), ("t", np.array(["a", "b", "c"], object))):
            item = file[name]
            h5library.write(item.id, h5py.h5t.py_create(item.dtype), item.id.get_space(), values)
        assert file["n"][:].tolist() == [0, 1, 2]
        assert file["t"].asstr()[:].tolist() == ["a", "b", "c"]


def test_what_hdf5_refuses_h5py_tells(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        made = file.create_dataset("t", (len(TEXTS) - 1,), h5py.string_dtype())
        with pytest.raises((OSError, ValueError, TypeError)):
            _write_raw(made.id, Text(), 0, Text().encode(texts()))
