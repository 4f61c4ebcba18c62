"""A new container of what is whole: what is in it to the byte, and that nothing else is ever touched."""

from __future__ import annotations

import errno
import os

import pytest

from speeddata.avro import schema
from speeddata.avro.container import Header
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError, UsageError
from speeddata.repairing import Repair

TEXT = '{"type":"record","name":"r","fields":[{"name":"n","type":"int"}]}'  # 65 bytes
SCHEMA = schema.parse(TEXT)
HEADER = Header(
    {"avro.schema": TEXT.encode(), "avro.codec": b"deflate", "speeddata.channel": b"rig"}, b"0" * 16, 0
)
BATCH = Batch(SCHEMA, b"\x02\x04\x06", 3)


def repaired(path, *batches, meanwhile=lambda: None):
    with Repair(path) as repair:
        for batch in batches:
            repair.keep(HEADER, batch)
        meanwhile()
    return repair


def test_the_new_container_is_the_old_one_with_codec_null_and_a_marker_of_its_own(tmp_path):
    repair = repaired(tmp_path / "new.avro", BATCH, Batch(SCHEMA, b"\x08", 1))
    data = (tmp_path / "new.avro").read_bytes()
    sync = data[-16:]
    assert data == (
        b"Obj\x01"
        b"\x06"  # three entries
        + (b"\x16avro.schema" + b"\x82\x01" + TEXT.encode())
        + (b"\x14avro.codec" + b"\x08null")
        + (b"\x22speeddata.channel" + b"\x06rig")
        + (b"\x00" + sync)
        + (b"\x06\x06" + b"\x02\x04\x06" + sync)
        + (b"\x02\x02" + b"\x08" + sync)
    )
    assert sync != HEADER.sync
    assert repair.datums == 4
    assert os.listdir(tmp_path) == ["new.avro"]


def test_nothing_has_the_name_before_all_of_it_is_there(tmp_path):
    path = tmp_path / "new.avro"
    there = []
    repaired(path, BATCH, meanwhile=lambda: there.append(path.exists()))
    assert (there, path.exists()) == ([False], True)


@pytest.mark.parametrize("error", [DataError("damaged"), KeyboardInterrupt()])
def test_a_repair_that_fails_leaves_nothing(tmp_path, error):
    def fail():
        raise error

    with pytest.raises(type(error)):
        repaired(tmp_path / "new.avro", BATCH, meanwhile=fail)
    assert os.listdir(tmp_path) == []


def test_of_nothing_whole_no_file_is_made(tmp_path):
    with pytest.raises(DataError, match=r"new\.avro: nothing whole is left; nothing was written"):
        repaired(tmp_path / "new.avro")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "a file system without links"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_is_there_already_is_never_written_over(tmp_path, monkeypatch, when, links):
    if not links:
        monkeypatch.setattr(os, "link", refusing)
    path = tmp_path / "new.avro"
    if when == "before":
        path.symlink_to("nowhere")  # also where the name leads nowhere
    with pytest.raises(UsageError, match="is there already; name a new file, or remove it"):
        repaired(path, BATCH, meanwhile=lambda: path.write_text("precious"))
    assert os.listdir(tmp_path) == ["new.avro"]
    assert path.is_symlink() if when == "before" else path.read_text() == "precious"


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refusing)
    repaired(tmp_path / "new.avro", BATCH)
    assert os.listdir(tmp_path) == ["new.avro"]


def test_one_container_holds_one_schema(tmp_path):
    other = schema.parse(TEXT.replace("int", "long"))
    with pytest.raises(DataError, match="the schema changed"):
        repaired(tmp_path / "new.avro", BATCH, Batch(other, b"\x02", 1))
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written_that_is_said(tmp_path):
    with pytest.raises(HostError, match=r"nowhere/new\.avro: cannot write: No such file"):
        Repair(tmp_path / "nowhere/new.avro")


def refusing(*_paths: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")
