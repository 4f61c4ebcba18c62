"""The README's section "From Python", run as it stands on a channel of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from by_hand import LOOPBACK, Bench, recordings, records

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_code_of_the_readme_reads_a_recording_and_taps_a_channel(
    spawn, free_port, wait_for, channel_name, environment, tmp_path
):
    section = README.partition("\n## From Python\n")[2].partition("\n## ")[0]
    reading, tapping = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)

    def ran(program):
        program = program.replace('"rig"', f'"{channel_name}"')
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay("-o", "rec")
        send = spawn(
            "send", "--demo", "--name", channel_name, "--rate", 1000, "--to", f"{LOOPBACK}:{relay.port}"
        )
        bench.discovery.received(channel_name, 600)
        lines = [line.split() for line in ran(tapping).splitlines()]
        assert lines
        assert all(int(time) > 1_700_000_000_000_000_000 and -1 <= float(mean) <= 1 for time, mean in lines)
        assert send.terminate() == 0
        bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
        assert relay.terminate() == 0
        rows = records(*recordings(tmp_path / "rec", channel_name))
        most = max(row["sine_wave"] for row in rows)
        said = re.fullmatch(r"(\d+) samples in ([\d.]+) s, up to (\S+) V\n", ran(reading))
        assert (int(said[1]), float(said[3])) == (len(rows), most)
