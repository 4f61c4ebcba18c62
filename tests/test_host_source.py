"""The README's own source: the machine that it runs on, through `send`, a relay and `tap`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from by_hand import LOOPBACK, Bench, records

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_host_of_the_readme_is_sent_recorded_and_tapped(
    spawn, free_port, wait_for, channel_name, environment, tmp_path
):
    (schema_text,) = (block for block in blocks("json") if '"name": "host"' in block)
    (program,) = (block for block in blocks("python") if "/proc/loadavg" in block)
    (tmp_path / "host.avsc").write_text(schema_text)
    (tmp_path / "host.py").write_text(program)
    line = "python host.py | speeddata send - -s host.avsc --stamp --name host"
    assert any(line in block for block in blocks("sh"))
    assert len(program.splitlines()) < 32

    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay("-o", "rec")
        line = line.replace("python host.py", "exec python host.py 0.02 60").replace(
            "exec python", sys.executable
        )
        line = line.replace("speeddata", f"{sys.executable} -m speeddata").replace(
            "--name host", f"--name {channel_name}"
        )
        before = time.time_ns() // 1_000_000
        source = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", f"{line} --to {LOOPBACK}:{relay.port}"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
        )
        tap = spawn("tap", channel_name, "-f", "json", "-c", 3)
        tapped = [json.loads(line) for line in tap.stdout.lines(3)]
        assert source.communicate(timeout=30) == (None, b"")
        assert source.returncode == 0
        said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
        assert (said["received"], said["lost"], said["rejected"]) == ("60", "0", "0")
        assert relay.terminate() == 0

    (path,) = (tmp_path / "rec" / channel_name).glob("*Z.avro")
    recorded = records(path)
    assert len(recorded) == 60
    assert tapped[0]["time"] >= before
    assert [signal["name"] for signal in json.loads(schema_text)["fields"]] == list(tapped[0])
    for row in recorded:
        assert row["load"] >= 0
        assert row["memory_available"] > 1 << 20
        assert min(row["network_received"], row["network_sent"]) >= 0
    assert recorded[-1]["network_sent"] > recorded[0]["network_sent"]  # our own datums go by loopback
