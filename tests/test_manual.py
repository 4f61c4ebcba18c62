"""man/ is what the commands say now, clean for those who typeset it, and its examples run."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import fastavro
import h5py
import pytest
from by_hand import LOOPBACK, Bench, rig

from speeddata import cli, manpages, manual, names, roff
from speeddata.recording import blockindex
from speeddata.recording.ledger import Counts, Entry, FileRange

ROOT = Path(__file__).resolve().parent.parent
FILES = manual.files(ROOT)
PAGES = sorted(name for name in FILES if name.startswith("man/"))
SECTIONS = "NAME SYNOPSIS DESCRIPTION OPTIONS EXAMPLES FILES ENVIRONMENT EXIT_STATUS SEE_ALSO".split()
COUNTER_TEXT = json.dumps(
    {
        "type": "record",
        "name": "counter",
        "fields": [{"name": "time", "type": "long"}, {"name": "n", "type": "int"}],
    }
)
FORMATS = (ROOT / "man" / "speeddata-formats.md").read_text("utf-8")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


def plain(page: str) -> str:
    """Roff as plain text, near enough to look for words in it."""
    return re.sub(r"\\f[BIR]|\\&", "", page).replace(r"\-", "-")


# --- the files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_committed_is_what_the_commands_say(name):
    path = ROOT / name
    assert path.is_file(), "run `python -m speeddata.manual`"
    assert path.read_text("utf-8") == FILES[name], "run `python -m speeddata.manual`"


def test_no_page_is_left_of_a_command_that_is_no_more():
    assert sorted(str(path.relative_to(ROOT)) for path in (ROOT / "man").glob("*.[17]")) == PAGES
    assert {f"man/speeddata-{name}.1" for name in cli.COMMANDS} < set(PAGES)


def test_the_same_commands_give_the_same_bytes_wherever_they_are_written(tmp_path, environment):
    (tmp_path / "man").mkdir()
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    for text in (ROOT / "man").glob("*.md"):
        shutil.copy(text, tmp_path / "man")
    (tmp_path / "man" / "speeddata-gone.1").write_text("")
    (tmp_path / "speeddata.toml").write_text("factor = 9\n")
    strange = {"COLUMNS": "40", "PYTHONHASHSEED": "7", "SPEEDDATA_FACTOR": "8", "TZ": "Asia/Tokyo"}
    program = "from pathlib import Path; from speeddata import manual; print(*manual.write(Path('.')))"
    run = [sys.executable, "-c", program]
    for expected in (["man/speeddata-gone.1", *FILES], []):
        done = subprocess.run(
            run, cwd=tmp_path, env={**environment, **strange}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == expected
    assert {name: (tmp_path / name).read_text("utf-8") for name in FILES} == FILES
    assert not (tmp_path / "man" / "speeddata-gone.1").exists()


def test_a_page_is_dated_when_its_version_was_released(tmp_path):
    (tmp_path / "man").mkdir()
    for text in (ROOT / "man").glob("*.md"):
        (tmp_path / "man" / text.name).write_text("# Name\n\na - b\n")
    version = manual.__version__
    (tmp_path / "CHANGELOG.md").write_text(f"## [Unreleased]\n\n## [{version}] - 2026-01-02\n")
    for name, page in manual.files(tmp_path).items():
        if name.startswith("man/"):
            assert re.match(rf'\.TH \S+ [17] "2026-01-02" "speeddata {re.escape(version)}" ', page)


def test_all_of_it_is_installed_where_shells_and_man_look():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]
    where = {
        "completions/speeddata.bash": "share/bash-completion/completions/speeddata",
        "completions/_speeddata": "share/zsh/site-functions/_speeddata",
        "completions/speeddata.fish": "share/fish/vendor_completions.d/speeddata.fish",
        **{name: f"share/man/man{name[-1]}/{Path(name).name}" for name in PAGES},
    }
    assert project["wheel"]["shared-data"] == where
    assert {"/man", "/completions"} <= set(project["sdist"]["include"])


# --- the pages -------------------------------------------------------------------------------------------


@needs("groff")
def test_groff_has_nothing_to_say():
    for name in PAGES:
        page = FILES[name].encode()
        groff = ["groff", "-man", "-ww", "-Tutf8", "-z"]
        done = subprocess.run(groff, input=page, capture_output=True, check=False)
        assert (name, done.returncode, done.stderr) == (name, 0, b"")


@needs("mandoc")
def test_mandoc_warns_of_nothing_but_the_date_before_a_release():
    for name in PAGES:
        lint = ["mandoc", "-Tlint", "-Wwarning"]
        done = subprocess.run(lint, input=FILES[name], capture_output=True, text=True, check=False)
        assert [name, *(line for line in done.stdout.splitlines() if "missing date" not in line)] == [name]


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".1")])
def test_every_page_has_all_sections_in_order(name):
    sections = [line[4:].strip().replace(" ", "_") for line in re.findall(r"^\.SH .*$", FILES[name], re.M)]
    assert [each for each in sections if each in SECTIONS] == SECTIONS


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_that_help_tells_is_on_the_page(name):
    page = plain(FILES[f"man/speeddata-{name}.1"])
    top = cli.program.make_context("speeddata", [], resilient_parsing=True)
    command = cli.program.get_command(top, name)
    context = click.Context(command, info_name=name, parent=top)
    verbs = command.list_commands(context) if isinstance(command, click.Group) else []
    told = set()
    for each in [command, *(command.get_command(context, verb) for verb in verbs)]:
        text = each.get_help(click.Context(each, info_name=name, parent=context))
        told |= set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.M))
    assert {"--config", "--help"} <= told
    assert told <= set(re.findall(r"^(?:-\w, )?(--[a-z-]+)", page, re.M))


def test_the_page_of_the_program_tells_its_commands_and_statuses():
    page = plain(FILES["man/speeddata.1"])
    for name, what in cli.COMMANDS.items():
        assert f"speeddata-{name}(1)\n" in page
        assert what.split()[-1] in page
    assert re.findall(r"^\.TP\n([0-9, ]+)\n", page, re.M) == ["0", "1", "2", "3", "4", "5", "130, 143"]


def test_a_page_names_no_page_that_is_not_there():
    there = {Path(name).stem: name[-1] for name in PAGES}
    for name in PAGES:
        for page, section in re.findall(r"\\fB(speeddata[\w\\-]*)\\fR\((\d)\)", FILES[name]):
            assert there.get(page.replace("\\", "")) == section


def test_a_default_and_a_range_are_told():
    page = " ".join(plain(FILES["man/speeddata-relay.1"]).split())
    assert (
        "--factor N The decimated group gets one window in so many datums. [default: 5; at least 1]" in page
    )


# --- roff ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a\\b", r"a\eb"),
        (".TH is no request", r"\&.TH is no request"),
        ("'br", r"\(aqbr"),
        ("25 °C", r"25 \[00B0]C".replace("[", "[u")),
        ("x-y ~ ^", r"x\-y \(ti \(ha"),
    ],
)
def test_what_roff_would_take_for_a_command_is_shown(text, source):
    assert roff.escape(text) == source


def test_marks_of_docstrings_become_bold():
    assert roff.inline("Take `a b` or --json, not well-known.") == (
        r"Take \fBa b\fR or \fB\-\-json\fR, not well\-known."
    )


def test_a_line_of_source_never_begins_with_a_request():
    text = " ".join(["word"] * 15 + [".TH", "'br"] * 9)
    assert not re.search(r"^[.']", roff.inline(text), re.M)


def test_lists_tables_headings_and_examples_are_told_apart():
    assert roff.document("# Files\n\n- `a`: b\n  c\n- d\n\n```\n.x\n\ny\n```\n") == (
        ".SH FILES\n.TP\n\\fBa\\fR\nb c\n.IP \\(bu 2\nd\n.PP\n.RS 4\n.nf\n\\&.x\n\ny\n.fi\n.RE\n"
    )
    assert roff.table(["pick    the first", "mean  all"]) == (
        ".TP\n\\fBpick\\fR\nthe first\n.TP\n\\fBmean\\fR\nall\n"
    )
    assert roff.table(["pick    the first", "no row"]) is None


# --- speeddata-formats(7) --------------------------------------------------------------------------------


def told_in(section: str) -> set[str]:
    """The words that the list of a section explains."""
    text = re.split(rf"^#+ {re.escape(section)}$", FORMATS, flags=re.M)[1]
    items = re.findall(r"^- ((?:`[^`]+`,?\s?)+)", re.split(r"^#", text, flags=re.M)[0], re.M)
    return {word for item in items for word in re.findall(r"`([^`]+)`", item)}


def test_the_datum_in_the_text_is_the_one_that_it_says():
    fields = [{"name": "time", "type": "long"}, {"name": "volts", "type": "double"}]
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": fields})
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, {"time": 1, "volts": 1.5})
    assert f"    {stream.getvalue().hex(' ')}\n" in FORMATS


def test_what_a_relay_announces_is_told(spawn, free_port, wait_for, channel_name):
    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay("-m", "mean", "--no-record")
        _, said = bench.begun(channel_name, relay.port, schema_text=COUNTER_TEXT)
        keys = {f"speeddata.{key}" for key in said if key not in ("avro.schema", "avro.codec", "from")}
    everyone = told_in("Announcement")
    assert everyone == {
        "avro.schema",
        "avro.codec",
        *map("speeddata.{}".format, ["channel", "session", "role"]),
    }
    assert keys == (everyone - {"avro.schema", "avro.codec"}) | told_in("A relay says")


def test_the_endpoints_are_those_of_the_program():
    assert told_in("Endpoints") == {
        str(names.DISCOVERY),
        str(names.LISTEN_PORT),
        f"{names.FULL_GROUP}:PORT",
        f"{names.DECIMATED_GROUP}:PORT",
    }


def test_an_index_and_a_ledger_are_as_told(tmp_path):
    head = blockindex._HEAD.pack(blockindex.MAGIC, blockindex.VERSION, b"i", bytes(range(16)))
    assert head == b"SDix\1i" + bytes(10) + bytes(range(16))
    assert blockindex._ROWS[b"i"].pack(1, 2, 3, -4, 5) == (
        b"\1\0\0\0\0\0\0\0\2\0\0\0\3\0\0\0" + (-4).to_bytes(8, "little", signed=True) + b"\5" + bytes(7)
    )
    line = Entry(1, 2, "s", Counts(), FileRange("f", 3)).line()
    assert told_in("Ledger") == set(re.findall(r'"(\w+)": ', line))


def test_the_attributes_of_a_set_are_told(run, tmp_path, spawn, free_port, wait_for, channel_name):
    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay()
        source, _ = bench.begun(channel_name, relay.port)
        source.send(rig(range(10)))
        source.end()
        bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
        assert relay.terminate() == 0
    assert run("pivot", "data/", "-o", "set.h5")[0] == 0
    attributes = re.split(r"^# HDF5$", FORMATS, flags=re.M)[1]
    of_file, of_group, of_dataset = re.split(r"Attributes of (?:the file|a group|a dataset):", attributes)[1:]
    with h5py.File(tmp_path / "set.h5") as file:
        group = file[channel_name]
        for found, text in ((file, of_file), (group, of_group), (group["volts"], of_dataset)):
            assert set(found.attrs) <= set(re.findall(r"`(\w+)`", text))
            assert found.attrs


# --- examples --------------------------------------------------------------------------------------------

EXAMPLES = list(dict.fromkeys(manpages.examples(cli.program)))
LIVE = [
    "speeddata tap rig -d 10 > rig.avro",
    "speeddata tap rig -f json --time iso | head -n 3",
    "speeddata tap rig -d 5 | speeddata decimate - -n 50 -m mean | speeddata pivot - -o slow.h5",
    "speeddata tap rig -f json | jq -c 'select(.sine_wave > 0.99) | [.counter, .sine_wave]'",
    "speeddata decimate rig -n 100 -m minmax --to 239.1.1.9:27500",
    "speeddata info rig -d 10 --sequence counter",
    "speeddata send --demo --name rig --rate 1000",
    "./sensors.sh | speeddata send - -s host.avsc --stamp",
    "speeddata ls",
    "speeddata ls --json | jq -r 'select(.lost > 0) | .channel'",
    "speeddata demo -d 5 -o sd",
]
RECORDED = [
    "speeddata send ./rig.avro --replay 2",
    "speeddata decimate data/rig/ --every 1s -m minmax --last 1h -f json",
    "speeddata tap data/rig/ --since -10m -f csv > minutes.csv",
    "speeddata pivot data/ --since -10m -o 'sets/%Y%m%dT%H%M.h5' --tag run=42",
    "speeddata pivot data/rig/ --last 1h -S 'sine*' -n 100 -m minmax -o slow.h5",
    "speeddata tap data/rig/ --follow -f csv",
    "speeddata info data/rig/",
    "speeddata info data/ --json | jq 'select(.damaged) | .damage'",
    "speeddata info ./torn.avro --repair whole.avro",
    "speeddata ls data",
    "speeddata relay example=26001,example.avsc --json",
    "speeddata subscribe add 'rig/*'",
    "speeddata subscribe ids 'rig/*'",
]


def test_the_examples_that_are_run_are_those_of_the_pages():
    gone = [each for each in (*LIVE, *RECORDED) if each not in EXAMPLES]
    assert not gone, "name them here as they are now"


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_command_line_that_is_understood(example, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    lexer = shlex.shlex(example[example.index("speeddata") :], posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;"):
            if words[:1] == ["speeddata"]:
                understood(words[1:])
            words, redirected = [], False
        elif word in "<>":
            redirected = True
        elif not redirected:
            words.append(word)


def understood(words: list[str]) -> None:
    """Parse a command line as far as it can be without running it."""
    context = cli.program.make_context("speeddata", list(words[:1]))
    command = cli.program.get_command(context, words[0])
    rest = words[1:]
    while True:
        known = isinstance(command, click.Group)
        found = command.make_context(words[0], rest, parent=context)
        if not known:
            return
        _, command, rest = command.resolve_command(found, [*found._protected_args, *found.args])
        context = found


@needs("jq")
def test_examples_run(spawn, run, free_port, channel_name, tmp_path, environment):
    def shell(example: str) -> subprocess.Popen[bytes]:
        line = re.sub(r"-d \d+", "-d 0.5", re.sub(r"\brig\b", channel_name, example))
        line = line.replace("26001", str(free_port()))
        if "--demo" in line or "--replay" in line:  # while the channel has a source
            line = line.replace(f"--name {channel_name}", f"--name {channel_name}.too")
        lasts = re.search(r"tap|send|relay|decimate \w+ ", line) and "-d 0.5" not in line
        added = {"SPEEDDATA_DURATION": "0.5s"} if lasts else {}
        if "speeddata send" in line:
            added["SPEEDDATA_TO"] = f"{LOOPBACK}:{port}"
        if " relay " in line:
            added["SPEEDDATA_OUTPUT"] = "other"
        return subprocess.Popen(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=tmp_path,
            env={**ours, **added},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def all_run(examples: list[str]) -> None:
        started = {example: shell(example) for example in examples}
        for example, process in started.items():
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, (example, err)

    port = free_port()
    ours = {
        **environment,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    (tmp_path / "bin").mkdir()
    record = '{"type": "record", "name": "%s", "fields": [{"name": "time", "type": "long", "unit": "ns"}]}'
    for name, text in (
        ("bin/speeddata", f'#!/bin/sh\nexec {sys.executable} -m speeddata "$@"\n'),
        ("sensors.sh", "#!/bin/sh\necho '{}'\n"),
        ("host.avsc", record % f"{channel_name}_host"),
        ("example.avsc", record % "example"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    relay = spawn("relay", "--listen", f"{LOOPBACK}:{port}", "-q")
    source = spawn("send", "--demo", "--rate", 1000, "--name", channel_name, "--to", f"{LOOPBACK}:{port}")
    assert run("tap", channel_name, "-c", 1, "-f", "json")[0] == 0
    all_run(LIVE)
    assert source.terminate() == 0
    assert relay.terminate() == 0
    whole = (tmp_path / f"{channel_name}.avro").read_bytes()
    (tmp_path / "torn.avro").write_bytes(whole[:-20])
    all_run(RECORDED)
    assert {path.name for path in tmp_path.iterdir()} >= {"slow.h5", "whole.avro", "sets", "sd"}
