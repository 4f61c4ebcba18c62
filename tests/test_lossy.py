"""Loss between two hosts: what is reported is what was injected, to the datum."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent / "bench" / "lossy.py"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="network namespaces need root")
def test_what_is_lost_twice_or_late_between_two_hosts_is_reported_to_the_datum():
    done = subprocess.run(
        [sys.executable, PROGRAM, "--quick", "--json"], capture_output=True, text=True, timeout=120
    )
    if "network namespaces" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode in (0, 1), done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["between"] for row in rows] == ["source and relay"] * 3 + ["relay and group"]
    for row in rows:
        assert row["dropped"] > 0
        assert (row["difference"], row["sound"]) == (0, True), row
    twice = rows[1]
    assert twice["repeated"] > 0
    assert twice["reported"] == twice["dropped"] - twice["repeated"]  # it hides as many that are lost
