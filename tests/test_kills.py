"""kill -9 in a row, of a relay under load and of a pivot that writes: what is left is whole, and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent / "bench" / "kills.py"
KILLS = 5  # a hundred: python tests/bench/kills.py


def test_kills_in_a_row_alter_nothing_recorded_and_leave_no_half_set():
    command = [sys.executable, PROGRAM, "--kills", str(KILLS), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert (told["faults"], told["changed"]) == ([], 0)
    assert told["files"] >= KILLS
    assert told["datums"] > KILLS * 50
    assert sum(told["outcomes"].values()) == KILLS
