"""Datasets grow chunk by chunk: HDF5 finds each where it was put, beside those of other signals."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from by_hand import NOON

from speeddata.avro import codec, schema
from speeddata.h5file import SetFile

ROWS = 32768  # of a chunk of a few signals


def of(first: int, count: int, *names: str):
    """A piece with the signals *names*, whose values tell their number."""
    fields = [{"name": name, "type": "double" if name != "flag" else "boolean"} for name in names]
    text = '{"type": "record", "name": "r", "fields": ' + str(fields).replace("'", '"') + "}"
    numbers = np.arange(first, first + count)
    columns = {
        name: codec.Column(numbers % 2 == 1 if name == "flag" else numbers + place / 8)
        for place, name in enumerate(names)
    }
    return schema.parse(text), columns


def written(path, *pieces, compression="none", sort=False):
    with SetFile(path, created_ns=NOON, compression=compression) as made:
        channel = made.channel("rig")
        for each, columns in pieces:
            channel.add(each, columns)
        channel.finish(sort=sort)
    with h5py.File(path) as file:
        return {name: item[:] for name, item in file["rig"].items()}


@pytest.mark.parametrize("compression", ["none", "gzip", "lzf"])
@pytest.mark.parametrize("sizes", [[5], [ROWS], [ROWS, ROWS, 1], [1000] * 100, [3 * ROWS + 7, 5 * ROWS, 11]])
def test_however_pieces_are_cut_the_datasets_are_the_same(tmp_path, sizes, compression):
    firsts = [sum(sizes[:place]) for place in range(len(sizes))]
    pieces = [of(first, size, "t", "a", "flag") for first, size in zip(firsts, sizes, strict=True)]
    found = written(tmp_path / "set.h5", *pieces, compression=compression)
    numbers = np.arange(sum(sizes))
    assert found["t"].tolist() == numbers.tolist()
    assert found["a"].tolist() == (numbers + 1 / 8).tolist()
    assert found["flag"].tolist() == (numbers % 2 == 1).tolist()


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("begun", [100, ROWS, ROWS + 100])
def test_a_signal_that_comes_late_is_missing_before(tmp_path, begun, compression):
    pieces = [of(0, begun, "t", "a"), of(begun, 2 * ROWS, "t", "a", "b")]
    found = written(tmp_path / "set.h5", *pieces, compression=compression)
    assert found["a"].tolist() == (np.arange(begun + 2 * ROWS) + 1 / 8).tolist()
    assert np.isnan(found["b"][:begun]).all()
    assert found["b"][begun:].tolist() == (np.arange(begun, begun + 2 * ROWS) + 2 / 8).tolist()
    assert found["b.valid"].tolist() == [False] * begun + [True] * 2 * ROWS


def test_what_was_put_past_hdf5_can_be_sorted(tmp_path):
    pieces = [of(2 * ROWS, ROWS, "t", "a"), of(0, 2 * ROWS, "t", "a")]
    found = written(tmp_path / "set.h5", *pieces, sort=True)
    assert found["t"].tolist() == list(range(3 * ROWS))
    assert found["a"].tolist() == [number + 1 / 8 for number in range(3 * ROWS)]


def test_uncompressed_chunks_of_neighbours_lie_side_by_side(tmp_path):
    written(tmp_path / "set.h5", of(0, ROWS, "t", "a", "b"), of(ROWS, ROWS, "t", "a", "b"))
    with h5py.File(tmp_path / "set.h5") as file:
        at = [file["rig"][name].id.get_chunk_info(1).byte_offset for name in ("t", "a", "b")]
        assert file["rig/t"].chunks == (ROWS,)
    assert at == [at[0], at[0] + 8 * ROWS, at[0] + 16 * ROWS]
    chunk = (np.arange(ROWS, 2 * ROWS) + 1 / 8).tobytes()
    assert (tmp_path / "set.h5").read_bytes().count(chunk) == 1
