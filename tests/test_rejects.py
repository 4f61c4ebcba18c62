"""rejected.avro: grows over runs, stays within its limit, is begun anew when damaged, and never raises."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pytest

from speeddata.recording.rejects import Reject, Rejects

ONE = Reject(1_764_763_200_000_000_001, "10.0.0.7:5000", "2 bytes too many", b"\xff\x00")
TWO = Reject(-5, "[::1]:9", "", b"")


def records(path: Path) -> list[dict[str, object]]:
    with open(path, "rb") as file:
        return list(fastavro.reader(file))  # type: ignore[arg-type]


def sources(path: Path) -> list[object]:
    return [record["source"] for record in records(path)]


def rejects(tmp_path: Path, limit: int = 10 << 20) -> Rejects:
    return Rejects(tmp_path / "rejected.avro", "rig", limit)


def test_every_avro_reader_reads_them(tmp_path):
    kept = rejects(tmp_path)
    kept.keep([ONE, TWO])
    assert records(kept.path) == [
        {"time": ONE.time_ns, "source": "10.0.0.7:5000", "reason": "2 bytes too many", "bytes": b"\xff\x00"},
        {"time": -5, "source": "[::1]:9", "reason": "", "bytes": b""},
    ]
    with open(kept.path, "rb") as file:
        metadata = fastavro.reader(file).metadata
    assert (metadata["speeddata.role"], metadata["speeddata.channel"]) == ("rejected", "rig")
    kept.close()


def test_no_reject_no_file(tmp_path):
    kept = rejects(tmp_path)
    kept.keep([])
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_they_outlive_a_restart_and_a_torn_end(tmp_path):
    for torn in (b"", b"\x02", b"\x02\x08torn and more than that" * 3):
        kept = rejects(tmp_path)
        kept.keep([ONE])
        kept.close()
        with open(kept.path, "ab") as file:
            file.write(torn)
    kept = rejects(tmp_path)
    kept.keep([TWO])
    kept.close()
    assert sources(kept.path) == [ONE.source] * 3 + [TWO.source]


@pytest.mark.parametrize("damage", ["header", "block", "foreign"])
def test_a_damaged_or_foreign_file_is_put_aside_and_a_new_one_begun(tmp_path, damage):
    kept = rejects(tmp_path)
    kept.keep([ONE])
    kept.keep([ONE])
    kept.close()
    data = bytearray(kept.path.read_bytes())
    if damage == "header":
        data[2] ^= 1
    elif damage == "block":
        data[-70] ^= 0xFF
        data[-100:-90] = b"??????????"
    else:
        data[:] = data.replace(b'"reason"', b'"raison"')
    kept.path.write_bytes(data)
    kept = rejects(tmp_path)
    kept.keep([TWO])
    kept.close()
    assert sources(kept.path) == [TWO.source]
    assert (tmp_path / "rejected.avro.damaged").read_bytes() == data


def test_a_full_file_takes_no_more_and_asks_for_no_more(tmp_path):
    asked = 0

    def many() -> Iterator[Reject]:
        nonlocal asked
        for _ in range(10_000):
            asked += 1
            yield ONE

    kept = rejects(tmp_path, limit=20_000)
    kept.keep(many())
    assert 18_000 < kept.path.stat().st_size <= 20_000
    assert len(records(kept.path)) == asked - 1
    kept.keep(many())
    assert len(records(kept.path)) == asked - 1
    kept.close()
    kept = rejects(tmp_path, limit=20_000)  # still full after a restart
    kept.keep([ONE._replace(data=bytes(2000))])
    assert kept.path.stat().st_size <= 20_000
    kept.close()


def test_a_file_that_somebody_deletes_is_begun_anew(tmp_path):
    kept = rejects(tmp_path)
    kept.keep([ONE])
    kept.path.unlink()
    kept.look_again()
    kept.keep([TWO])
    kept.close()
    assert sources(kept.path) == [TWO.source]


def test_a_full_file_that_somebody_deletes_is_begun_anew(tmp_path):
    kept = rejects(tmp_path, limit=5000)
    kept.keep([ONE] * 1000)
    kept.path.unlink()
    kept.look_again()
    kept.keep([TWO])
    kept.close()
    assert sources(kept.path) == [TWO.source]


def test_a_directory_that_is_gone_costs_the_rejects_and_no_more(tmp_path):
    home = tmp_path / "rig"
    kept = Rejects(home / "rejected.avro", "rig")
    kept.keep([ONE])
    home.mkdir()
    kept.keep([ONE])  # not tried again within the second
    assert list(home.iterdir()) == []
    kept.look_again()
    kept.keep([TWO])
    assert sources(kept.path) == [TWO.source]
    kept.close()
    shutil.rmtree(home)
