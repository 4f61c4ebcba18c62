"""A set of columns: every value as it was, and no half a file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from by_hand import BULK_TEXT, RIG_TEXT, rig

from speeddata.avro import schema
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError
from speeddata.h5file import SetFile

RIG = schema.parse(RIG_TEXT)
NOON = 1_764_763_200_000_000_000


def batches(*sizes: int):
    first = 0
    for size in sizes:
        yield Batch(RIG, b"".join(rig(range(first, first + size))), size)
        first += size


def test_batches_become_columns_of_one_length_with_their_units(tmp_path):
    path = tmp_path / "set.h5"
    with SetFile(path, created_ns=NOON) as made:
        assert made.add("rig", RIG, batches(3, 5000, 1), {"received": 5004}) == 5004
        assert not path.exists()
    with h5py.File(path) as file:
        group = file["rig"]
        assert list(group) == ["note", "time", "volts"]
        assert group["time"][:].tolist() == [NOON + n for n in range(5004)]
        assert (group["volts"][:] == np.arange(5004) / 8).all()
        assert group["note"].asstr()[:].tolist() == ["x" * (n % 7) for n in range(5004)]
        assert (group["time"].dtype, group["volts"].dtype) == (np.dtype("<i8"), np.dtype("<f8"))
        assert (group["time"].attrs["units"], group["volts"].attrs["units"]) == ("ns", "V")
        assert (group.attrs["abscissa"], group.attrs["schema"]) == ("time", RIG_TEXT)
        assert group.attrs["received"] == 5004
        assert file.attrs["created"] == "2025-12-03T12:00:00.000000000Z"
    assert list(tmp_path.iterdir()) == [path]


def test_a_channel_without_a_datum_has_empty_columns(tmp_path):
    with SetFile(tmp_path / "set.h5", created_ns=NOON) as made:
        assert made.add("bulk", schema.parse(BULK_TEXT), []) == 0
    with h5py.File(tmp_path / "set.h5") as file:
        assert {dataset.shape for dataset in file["bulk"].values()} == {(0,)}


def test_a_failed_run_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "set.h5"
    path.write_text("before")
    torn = Batch(RIG, b"".join(rig(range(3)))[:-1], 3)
    with pytest.raises(DataError), SetFile(path, created_ns=NOON) as made:
        made.add("rig", RIG, [*batches(3), torn])
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(HostError, match=r"nowhere/set\.h5: cannot write the set"):
        SetFile(tmp_path / "nowhere/set.h5", created_ns=NOON)
