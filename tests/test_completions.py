"""Tab in a real shell: commands, verbs, options, choices, files, live channels, signals of a recording."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from by_hand import LOOPBACK, RIG_TEXT, Bench

from speeddata import cli, completing
from speeddata.avro.container import write_header

ROOT = Path(__file__).resolve().parent.parent
COMPLETIONS = ROOT / "completions"
DEADLINE_S = 20.0


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


@pytest.fixture
def place(environment, tmp_path):
    """A directory with a recording, files, and the program; and the environment to be there."""
    rig = tmp_path / "data" / "rig"
    rig.mkdir(parents=True)
    metadata = {"avro.schema": RIG_TEXT, "avro.codec": "null", "speeddata.channel": "rig"}
    (rig / "rig_20250101T000000.000000000Z.avro").write_bytes(write_header(metadata, bytes(16)))
    for name in ("one.avro", "one.avsc", "one.txt", "two words.avro"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "speeddata"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m speeddata "$@"\n')
    script.chmod(0o755)
    path = f"{script.parent}:{os.environ['PATH']}"
    return {**environment, "PATH": path, "TERM": "dumb", "HOME": str(tmp_path)}


def fits(line: str, kind: str) -> list[str]:
    """What fits the last word of *line*, in this process."""
    parts, _ = completing.split(line, line.rpartition(" ")[2])
    return [e.text for e in completing.candidates(cli.program, cli.COMMANDS, parts) if e.kind == kind]


def words(line: str) -> list[str]:
    return fits(line, "word")


# --- what fits -------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_live(monkeypatch):
    monkeypatch.setattr(completing, "live_channels", lambda on: [])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("speeddata ", list(cli.COMMANDS)),
        ("speeddata -q ta", ["tap"]),
        ("speeddata -C my.toml t", ["tap", "tui"]),
        ("speeddata tap --fo", ["--format", "--follow"]),
        ("speeddata tap --format j", ["json"]),
        ("speeddata tap --format=j", ["--format=json"]),
        ("speeddata tap -f ", ["avro", "json", "csv"]),
        ("speeddata tap data/ -f json --fo", ["--follow"]),
        ("speeddata pivot -n5 --meth", ["--method"]),
        ("speeddata pivot -m mean -n 5 a/ --compress l", ["lzf"]),
        ("speeddata tap a/ | speeddata decimate - -m r", ["rms"]),
        ("speeddata tap a/ && speeddata l", ["ls"]),
        ("speeddata hxpush m", ["map"]),
        ("speeddata hxpush data/ --nan s", ["skip"]),
        ("speeddata hxpush --nan s", ["skip"]),
        ("speeddata hxpush map --ch", ["--check"]),
        ("speeddata subscribe l", ["ls", "listen"]),
        ("speeddata subscribe listen --mode s", ["shared"]),
        ("speeddata tap -- -", []),
        ("speeddata tap a/ ", []),
        ("speeddata relay --keep", ["--keep-size", "--keep-time"]),
    ],
)
def test_words_that_fit(nothing_live, line, found):
    assert words(line) == found


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ("speeddata tap ", ["*.avro"]),
        ("speeddata pivot a/ ", ["*.avro"]),
        ("speeddata send ", ["*"]),
        ("speeddata ls ", ["/"]),
        ("speeddata tap -s ", ["*.avsc"]),
        ("speeddata tap --schema=", ["*.avsc"]),
        ("speeddata -C ", ["*.toml"]),
        ("speeddata relay -o ", ["/"]),
        ("speeddata tui --recording ", ["/"]),
        ("speeddata tap -f ", []),
        ("speeddata tap -c ", []),
    ],
)
def test_files_are_the_business_of_the_shell(nothing_live, line, patterns):
    assert fits(line, "files") == patterns


@pytest.mark.parametrize(
    "line", ["speeddata bogus ", "speeddata tap --bogus=", "speeddata 'a", "", "speeddata subscribe x "]
)
def test_a_line_that_makes_no_sense_completes_nothing_in_silence(capfd, line):
    completing.answer(cli.program, cli.COMMANDS, "bash", [line, ""])
    assert capfd.readouterr() == ("", "")


def test_signals_are_those_of_the_recordings_that_are_named(place, tmp_path, monkeypatch, nothing_live):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for line in (
        "pivot data/ -S ",
        "tui data/rig/ -S ",
        "pivot ./data/rig/*.avro data/ --signal ",
        "info data/ --sequence ",
    ):
        assert words(f"speeddata {line}") == ["time", "volts", "note"]
    assert words("speeddata pivot data/ -S 'vo") == ["volts"]
    assert words("speeddata pivot ~/data/ --signal=no") == ["--signal=note"]
    assert words("speeddata pivot gone/ -S ") == []
    assert words("speeddata subscribe add rig/v") == ["rig/volts"]


def test_marks_are_those_of_the_recording(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark = '{"name": "spike", "begin": "2025-01-01T00:00:00Z", "end": "2025-01-01T00:00:01Z"}\n'
    (tmp_path / "data" / "marks.jsonl").write_text(mark)
    assert words("speeddata pivot data/ --mark ") == ["spike"]


def test_customers_are_those_of_the_registry_which_is_not_made_for_it(tmp_path, monkeypatch, run, capfd):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    asked = ["speeddata subscribe run --customer ", ""]
    completing.answer(cli.program, cli.COMMANDS, "bash", asked)
    assert (capfd.readouterr(), list(tmp_path.iterdir())) == (("", ""), [])
    for name in ("plant", "cloud"):
        env = {"XDG_STATE_HOME": str(tmp_path / "state")}
        assert run("subscribe", "add", "rig/*", "--customer", name, env=env)[0] == 0
    assert words(asked[0]) == ["cloud", "plant"]
    assert words("speeddata subscribe ls --customer=p") == ["--customer=plant"]


def test_relays_are_asked_where_the_command_would(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(completing, "live_channels", lambda on: asked.append(list(on)) or [])
    monkeypatch.chdir(tmp_path)
    words("speeddata tap -i eth7 ")
    words("speeddata tap ")
    monkeypatch.delenv("SPEEDDATA_INTERFACE")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    words("speeddata tap ")
    (tmp_path / "speeddata.toml").write_text('interface = "eth8"\n[tui]\ninterface = ["eth9"]\n')
    words("speeddata tap ")
    words("speeddata tui ")
    words("speeddata tap data/")  # a path: nobody is asked
    assert asked == [["eth7"], [LOOPBACK], [], ["eth8"], ["eth9"]]


def test_an_interface_that_is_none_is_passed_over(capfd):
    completing.answer(cli.program, cli.COMMANDS, "fish", ["tap", "-i", "no-such-interface", ""])
    assert capfd.readouterr() == ("files\t*.avro\t\n", "")


# --- bash ------------------------------------------------------------------------------------------------

ASK = """
source "$1"; COMP_LINE=$2; COMP_POINT=${#2}; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_speeddata speeddata "$3" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def bash(place, tmp_path):
    """`bash(line, last)`: what the function of the script puts into COMPREPLY."""

    def ask(line: str, last: str) -> list[str]:
        script = str(COMPLETIONS / "speeddata.bash")
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", script, line, last],
            env=place,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return ask


def test_bash_is_given_the_part_that_it_completes(bash):
    assert bash("speeddata ta", "ta") == ["tap"]
    assert bash("speeddata tap --format=cs", "cs") == ["csv"]
    assert bash("speeddata pivot data/ --signal=", "") == ["time", "volts", "note"]


def test_bash_finds_files_of_the_kind_that_is_meant(bash):
    assert sorted(bash("speeddata tap ./", "./")) == ["./bin", "./data", "./one.avro", "./two words.avro"]
    assert bash("speeddata tap -s on", "on") == ["one.avsc"]
    assert bash("speeddata ls d", "d") == ["data"]
    assert sorted(bash("speeddata send on", "on")) == ["one.avro", "one.avsc", "one.txt"]


class Shell:
    """A shell on a terminal of its own: keys go in, what it draws comes out."""

    def __init__(self, *command: str, cwd: Path, env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.drawn = ""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, pattern: str) -> None:
        """Wait until *pattern* was drawn, and forget what was drawn up to there."""
        end = time.monotonic() + DEADLINE_S
        while not (found := re.search(pattern, self.drawn)):
            assert time.monotonic() < end, self.drawn
            if select.select([self._ours], [], [], 0.1)[0]:
                drawn = os.read(self._ours, 1 << 16).decode(errors="replace")
                self.drawn += re.sub(r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b[=>]", "", drawn)
        self.drawn = self.drawn[found.end() :]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def live(spawn, free_port, wait_for, channel_name):
    """The name of a channel that a relay serves; its signals are time, volts and note."""
    with Bench(spawn, free_port, wait_for) as bench:
        bench.begun(channel_name, bench.relay("--no-record").port)
        yield channel_name


def tabs(shell: Shell, live: str) -> None:
    """What is the same in every shell."""
    shell.press("speeddata ta\t")
    shell.until("speeddata tap ")
    shell.press(f"{live[:9]}\t")
    shell.until(f"{live} ")
    shell.press("--form\t")
    shell.until("--format ")
    shell.press("js\t")
    shell.until("json ")
    shell.press("\x15speeddata pivot data/ -S vol\t")
    shell.until("-S volts ")
    shell.press(f"\x15speeddata pivot {live} -S vol\t")
    shell.until("-S volts ")
    shell.press("\x15speeddata tap one\t")
    shell.until("one.avro ")


def test_tab_in_bash(place, tmp_path, live):
    shell = Shell("bash", "--norc", "--noprofile", "-i", cwd=tmp_path, env={**place, "PS1": "> "})
    try:
        shell.press(f"bind 'set bell-style none'; source {COMPLETIONS}/speeddata.bash; echo re''ady\n")
        shell.until("ready\r\n")
        tabs(shell, live)
        shell.press("\x15speeddata tap --format=js\t")
        shell.until("--format=json ")
        shell.press("\x15speeddata pivot data/ -S 'vol\t")
        shell.until("-S 'volts' ")
        shell.press("\x15speeddata tap tw\t")
        shell.until(r"two\\ words.avro ")
        shell.press("\x15speeddata pivot da\t")
        shell.until("pivot data/")
    finally:
        shell.close()


@needs("zsh")
def test_tab_in_zsh(place, tmp_path, live):
    shell = Shell("zsh", "-f", "-i", cwd=tmp_path, env={**place, "PS1": "> "})
    try:
        shell.press(f"unsetopt beep; fpath=({COMPLETIONS} $fpath)\n")
        shell.press("autoload -Uz compinit; compinit -u -D; echo re''ady\n")
        shell.until("ready\r\n")
        tabs(shell, live)
        shell.press("\x15speeddata tap --format=js\t")
        shell.until("--format=json ")
    finally:
        shell.close()


@needs("fish")
def test_fish_is_told_what_fits(place, tmp_path, live):
    def found(line: str) -> list[str]:
        program = f"source {COMPLETIONS}/speeddata.fish; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", program],
            env=place,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    assert found("speeddata ta") == ["tap"]
    assert live in found(f"speeddata tap {live[:9]}")
    assert found("speeddata pivot data/ -S vo") == ["volts"]
    assert found("speeddata tap --format=js") == ["--format=json"]
    assert found("speeddata tap --schema=on") == ["--schema=one.avsc"]
    assert found("speeddata ls d") == ["data/"]


# --- time, and silence -----------------------------------------------------------------------------------


def test_relays_are_asked_in_less_than_a_fifth_of_a_second(place, tmp_path, live, monkeypatch):
    def work_s(*line: str) -> float:
        """Seconds of a processor, which do not grow with what else runs on this machine."""
        asked = [sys.executable, "-m", "speeddata", *line]
        env = {**place, "_SPEEDDATA_COMPLETE": "fish"}
        process = subprocess.Popen(asked, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    asked, alone = zip(*((work_s("tap", ""), work_s("tap", "./")) for _ in range(4)), strict=True)
    waits = []
    monkeypatch.setattr("speeddata.wire.finding.survey", lambda on, seconds: waits.append(seconds) or [])
    words("speeddata tap ")
    assert waits[0] + min(asked) - min(alone) < 0.2


def test_no_command_runs_while_a_shell_asks(run, channel_name):
    status, out, err = run("ls", "--json", env={"_SPEEDDATA_COMPLETE": "zsh"})
    assert (status, err) == (0, "")
    assert "{" not in out
