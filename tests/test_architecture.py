"""The shape of the program: rooms that import one way, and a start that loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import speeddata

PACKAGE = Path(speeddata.__file__).parent
PACKAGES = {"speeddata", *(f"speeddata.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py"))}
MAX_LINES = 450
HEAVY = ("numpy", "h5py", "fastavro", "textual", "rich")

# A room imports only rooms above it; add a new one where it belongs. Pure rooms, edges, faces:
STAIRCASE = """
    legible errors names timerange thinning
    avro.types avro.schema avro.prepared avro.varints avro.skipper batch
    avro.datum avro.heads avro.layout avro.shapes avro.runs avro.columns avro.packing
    avro.boundaries avro.slabs avro.codec
    avro.compression avro.container
    wire.announcement wire.sessions
    reductions windows windowed decimation
    stages cutting columnar rows text table steps findings telling samples
    sending.waveforms sending.pacing sending.stamping
    recording.gathering
    chart.envelope chart.gaps chart.readings chart.sums chart.shifting chart.abscissas chart.grouping
    chart.tail chart.pyramid chart.statelog chart.history chart.timescale chart.scale chart.canvas
    chart.marks chart.layouts chart.pages chart.view chart.fuzzy chart.wording
    haystack.kinds haystack.literals haystack.zinc haystack.timezones haystack.stamps haystack.points
    haystack.hisgrid haystack.axon haystack.units haystack.rules haystack.mapping haystack.drafting
    haystack.joining haystack.provisioning haystack.moments haystack.resampling haystack.changing
    haystack.preparing haystack.batching haystack.refusals
    subscription.urls subscription.destinations subscription.customers subscription.series subscription.times
    subscription.envelope subscription.messages subscription.dedup subscription.engine subscription.presenting
    doctor.finding doctor.multicast doctor.joining doctor.load doctor.buffers doctor.ports doctor.clock
    doctor.disk doctor.limits doctor.parts
    --
    interrupts spool inbox streams
    wire.interfaces wire.sockets wire.linux_datagrams wire.datagrams wire.discovery wire.finding
    wire.following wire.live wire.livechannels
    recording.outages recording.ledger recording.directorylock recording.rememberedports
    recording.blockfile recording.blockindex recording.catalogue recording.rejects recording.channelfiles
    recording.contents recording.listing recording.reading recording.retention recording.recorder
    recording.markfile recording.blocktable recording.archive
    relay.once relay.serving relay.channels relay.hearing relay.relaying
    sending.feeds sending.sender
    sources within output aside h5disk h5chunks h5library h5storage h5door h5dataset h5file pivoting
    demonstration repairing inspection h5reading sets tapping watching showing
    feeding credentials
    haystack.targets haystack.deadlines haystack.patience haystack.transport haystack.authentication
    haystack.client haystack.surveying haystack.addressing haystack.positions haystack.setaside
    haystack.delivery haystack.tiers haystack.pushing haystack.verifying haystack.running
    subscription.database subscription.registry subscription.secrets subscription.log_retention
    subscription.engine_log subscription.engine_text subscription.nats_stream subscription.nats_line
    subscription.nats_rows subscription.nats_inlet subscription.engine_nats subscription.kafka_line
    subscription.kafka_inlet subscription.engine_kafka subscription.engines subscription.checkpoints
    subscription.renewing
    subscription.departed subscription.starting subscription.places
    subscription.repositioning subscription.subscribed subscription.reconnecting subscription.forwarding
    subscription.listening
    symptoms.network symptoms.kernel symptoms.listeners symptoms.channels symptoms.timekeeping
    symptoms.storage symptoms.installed symptoms.examination
    --
    settings report options verbs completing roff shellscripts
    stripchart.keys stripchart.frames stripchart.notes stripchart.messages stripchart.look
    stripchart.palette stripchart.picture stripchart.legend stripchart.statestrip stripchart.axes
    stripchart.plotting stripchart.chart stripchart.channels stripchart.backscroll stripchart.looking
    stripchart.drawing stripchart.bars stripchart.resizing stripchart.listing stripchart.numbers
    stripchart.picker stripchart.help stripchart.marking stripchart.saving stripchart.setup stripchart.hands
    stripchart.app stripchart.opening stripchart.web
    commands.send commands.relay commands.tap commands.decimate commands.pivot commands.tui
    commands.info commands.ls commands.doctor commands.demo
    commands.hxpush_options commands.hxpush_push commands.hxpush_map commands.hxpush_provision
    commands.hxpush_status commands.hxpush
    commands.subscribe_options commands.subscribe_set commands.subscribe_add commands.subscribe_rm
    commands.subscribe_ls commands.subscribe_ids commands.subscribe_run commands.subscribe_listen
    commands.subscribe_produce commands.subscribe
    cli manpages manual
"""
PURE, EDGES, FACES = (floor.split() for floor in STAIRCASE.split("--"))
ROOMS = [*PURE, *EDGES, *FACES]

# Pure rooms open nothing, print nothing and ask no clock; edges leave the talking to `logging`.
IMPURE_LIBRARIES = {
    *("asyncio", "ctypes", "fcntl", "h5py", "mmap", "multiprocessing", "pathlib", "select", "selectors"),
    *("shutil", "signal", "socket", "subprocess", "sys", "tempfile", "time"),
}
IMPURE_CALLS = {
    "open",
    "print",
    "input",
    "os.open",
    "os.read",
    "os.write",
    "os.stat",
    "os.listdir",
    "os.getenv",
}
FACE_LIBRARIES = {"click", "rich", "textual"}


def tree_of(room: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{room.replace('.', '/')}.py").read_text("utf-8"))


def imports(node: ast.AST) -> Iterator[str]:
    """The modules that *node* imports, in functions too, but not for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative import"
            yield child.module or ""
            if child.module in PACKAGES:
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child)


def neighbours(room: str) -> set[str]:
    """The rooms that *room* imports."""
    found = {
        name.removeprefix("speeddata.") for name in imports(tree_of(room)) if name.startswith("speeddata.")
    }
    return found - {"__version__", *(package.removeprefix("speeddata.") for package in PACKAGES)}


def libraries(room: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(tree_of(room))} - {"speeddata"}


def test_every_module_has_its_place_in_the_list():
    found = {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    assert {room for room in found if not room.endswith(("__init__", "__main__"))} == set(ROOMS)
    assert len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room):
    above = set(ROOMS[: ROOMS.index(room)])
    assert neighbours(room) <= above


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_opens_nothing_prints_nothing_and_asks_no_clock(room):
    calls = {ast.unparse(node.func) for node in ast.walk(tree_of(room)) if isinstance(node, ast.Call)}
    assert not libraries(room) & (IMPURE_LIBRARIES | FACE_LIBRARIES)
    assert not calls & IMPURE_CALLS


@pytest.mark.parametrize("room", EDGES)
def test_an_edge_knows_no_face(room):
    assert not libraries(room) & FACE_LIBRARIES


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_short_enough_to_be_one_idea(room):
    lines = (PACKAGE / f"{room.replace('.', '/')}.py").read_text("utf-8").count("\n")
    assert lines <= MAX_LINES, "look for the second idea in it"


@pytest.mark.parametrize("room", [*ROOMS, "__init__"])
def test_a_room_begins_with_what_it_is_for(room):
    assert ast.get_docstring(tree_of(room))


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], *([name, "--help"] for name in ("ls", "relay", "tap", "send", "doctor"))],
)
def test_help_loads_nothing_heavy(environment, tmp_path, args):
    program = (
        "import sys; from speeddata.cli import main; status = main(sys.argv[1:]); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    assert done.stderr == "[]\n"
