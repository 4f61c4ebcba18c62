"""Ports are kept from run to run, and a file that cannot be read costs nothing else."""

from __future__ import annotations

import pytest

from speeddata.recording.rememberedports import FILE_NAME, RememberedPorts


def test_ports_are_read_back_and_names_compared_without_case(tmp_path):
    ports = RememberedPorts(tmp_path)
    ports.remember("rig", 20001)
    ports.remember("oven", 20002)
    ports.remember("RIG", 20003)
    assert RememberedPorts(tmp_path).ports == {}  # nothing is written before it is said
    ports.save()
    assert RememberedPorts(tmp_path).ports == {"oven": 20002, "RIG": 20003}
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"../x": 5, "rig": "x", "oven": true, "mill": 1.5}', "[" * 100_000]
)
def test_what_cannot_be_read_is_forgotten(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    assert RememberedPorts(tmp_path).ports == {}


def test_a_disk_that_refuses_is_tried_again(tmp_path):
    home = tmp_path / "rec"
    ports = RememberedPorts(home)
    ports.remember("rig", 20001)
    ports.save()
    home.mkdir()
    ports.save()
    assert RememberedPorts(home).ports == {"rig": 20001}
