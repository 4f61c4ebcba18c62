"""Text of strangers (units, values, announcements, names of files) on a terminal: seen, never obeyed."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import sys
import time

import fastavro
import pytest
from by_hand import DISCOVERY, LOOPBACK, RIG_TEXT, announcement, unused_port
from terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")

STEERING = [
    *("\x1b[2J", "\x1b[31;5;99m", "\x1b[6n"),  # clears the screen; colours; asks for an answer
    *("\x1b]52;c;ZXZpbA==\x07", "\x1b]0;title\x1b\\"),  # sets the clipboard, and the title
    *("\x9b31m", "\x90q\x9c", "\x85", "\u2028"),  # the same by C1 controls; ends a line
    *("\u202e", "\u2066", "\u200f", "\u200b", "\ufeff"),  # turns the direction of writing; hides
    *("\x08", "\x7f", "\r", "\n", "\t", "\x0e", "\x00"),
]
EVIL = "beg" + "evil".join(STEERING) + "end"
SCHEMA = {
    "type": "record",
    "name": "rig",
    "doc": EVIL,
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}, "doc": EVIL},
        {"name": "volts", "type": "double", "unit": EVIL, "doc": EVIL},
        {"name": "note", "type": "string", "unit": EVIL},
        {"name": "map", "type": {"type": "map", "values": "string"}},
        {"name": "state", "type": {"type": "enum", "name": "s", "symbols": ["up", "down"], "doc": EVIL}},
    ],
}
FILE_NAME = "".join(STEERING).replace("\x00", "")[:60] + ".avro"


@pytest.fixture
def place(tmp_path):
    """A directory with a recording of hostile text, and with a file of a hostile name."""
    rows = [
        {
            "time": 1_764_763_200_000_000_000 + n * 100_000_000,
            "volts": n / 8,
            "note": EVIL + str(n),
            "map": {EVIL: EVIL},
            "state": ["up", "down"][n % 2],
        }
        for n in range(40)
    ]
    plain = json.loads(json.dumps(SCHEMA))
    (tmp_path / "rec" / "rig").mkdir(parents=True)
    for path in (tmp_path / "rig.avro", tmp_path / "rec" / "rig" / "rig_20251203T120000.000000000Z.avro"):
        with path.open("wb") as file:
            fastavro.writer(file, plain, rows, metadata={"speeddata.channel": "rig", "x": EVIL})
    (tmp_path / FILE_NAME).write_text("no container")
    (tmp_path / "evil.avsc").write_text(json.dumps(SCHEMA).replace('"up"', json.dumps(EVIL)))
    (tmp_path / "evil.toml").write_text(f"[{json.dumps(EVIL)}]\n{json.dumps(EVIL)} = 1\n")
    (tmp_path / "marks.jsonl").write_text(json.dumps({"name": EVIL}) + "\n")
    return tmp_path


def controls(text):
    """What of *text* could steer a terminal, beside ends of lines and what a status uses to redraw itself."""
    own = re.sub(r"\x1b\[[0-9]+A\r\x1b\[J|\r\n", "", text)
    return {character for character in own if not character.isprintable()}


COMMANDS = {
    "tap, JSON Lines": ["tap", "./rig.avro"],
    "tap, CSV": ["tap", "./rig.avro", "-f", "csv"],
    "decimate, JSON Lines": ["decimate", "./rig.avro", "-n", "4", "-m", "mean", "-f", "json"],
    "info": ["info", "./rig.avro"],
    "info, JSON": ["info", "./rig.avro", "--json"],
    "ls": ["ls", "rec"],
    "ls, JSON": ["ls", "rec", "--json"],
    "pivot": ["pivot", "rec/", "-o", "set.h5", "-v"],
    "hxpush map": ["hxpush", "map", "--init", "rec/"],
    "a file's name": ["info", f"./{FILE_NAME}"],
    "a signal's name": ["pivot", "rec/", "-S", EVIL.replace("\0", ""), "-o", "set.h5"],
    "a mark's name": ["pivot", "rec/", "--mark", EVIL.replace("\0", ""), "-o", "set.h5"],
    "an enum's symbol": ["send", "-", "-s", "evil.avsc", "-f", "json"],
    "settings": ["ls", "-C", "evil.toml"],
    "an option's value": ["tap", "./rig.avro", "-c", EVIL.replace("\0", "")],
    "a command": [EVIL.replace("\0", "")],
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_shows_hostile_text_on_a_terminal_and_obeys_none_of_it(place, environment, what):
    with Terminal(*COMMANDS[what], cwd=place, env=environment) as terminal:
        assert terminal.wait() in (0, 2, 3)
        assert controls(terminal.drawn.decode()) == set()
        assert terminal.drawn  # there was something to look at


def steered(drawn):
    """Which of the hostile sequences are in what a program drew that steers the terminal itself."""
    found = [each for each in STEERING if each not in ("\r", "\n", "\t", "\x08", "\x00", "\x0e", "\x1b[2J")]
    return [each for each in found if each.encode() in drawn]


def test_the_stripchart_shows_hostile_units_and_values_and_obeys_none_of_them(place, environment):
    with Terminal("tui", "./rig.avro", cwd=place, env=environment) as terminal:
        terminal.until("volts", since=0)
        terminal.until(re.escape(r"\x1b"), since=0)  # a unit, or a value, made visible
        terminal.press("c")
        terminal.until("2025-12-03 1[0-9]:")
        terminal.press("q")
        assert terminal.wait() == 0
        assert steered(terminal.drawn) == []


@contextlib.contextmanager
def discovery():
    """A way to say something to everyone on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        yield sock


def test_what_sources_say_is_harmless_in_the_notes_of_a_relay(place, environment, channel_name):
    port = unused_port()
    hostile = [
        announcement(RIG_TEXT, channel=EVIL, session="x", role="source", sent=0),
        announcement(json.dumps(SCHEMA), channel=channel_name, session=EVIL, role="source", sent=0),
        announcement(EVIL, channel=f"{channel_name}_a", session="x", role="source", sent=0),
        announcement(
            (place / "evil.avsc").read_text(), channel=f"{channel_name}_b", session="x", role="source", sent=0
        ),
        announcement(json.dumps(SCHEMA), channel=f"{channel_name}_c", session="x", role="source", sent=0),
    ]
    with (
        Terminal("relay", "--listen", f"{LOOPBACK}:{port}", "-v", cwd=place, env=environment) as terminal,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
    ):
        terminal.until("waiting for a source", since=0)
        for datagram in hostile:
            with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as one:
                one.sendto(datagram, (LOOPBACK, port))
        renamed = f"{channel_name}_c".encode(), f"{channel_name}_d".encode()
        source.sendto(hostile[-1].replace(*renamed), (LOOPBACK, port))
        source.sendto(EVIL.encode(), (LOOPBACK, port))  # no datum of it
        terminal.until(f"{channel_name}_d .*1 *\r", since=0)  # it is told as rejected
        terminal.process.terminate()
        assert terminal.wait() == 0
        assert controls(terminal.drawn.decode()) == set()


@pytest.mark.parametrize("command", ["ls", "info", "tap"])
def test_what_a_relay_says_is_harmless_in_a_command_that_asks(place, environment, channel_name, command):
    keys = ("full", "decimated", "method", "factor", "state", "rate_hz", "received", "lost", "rejected")
    said = {key: f"{key}{EVIL}" for key in keys} | {"full": "239.1.1.9:23456"}
    session = secrets.token_hex(8)
    words = announcement(json.dumps(SCHEMA), channel=channel_name, session=session, role="relay", **said)
    args = {"ls": [], "info": [channel_name, "-d", "200ms"], "tap": [channel_name, "-d", "200ms"]}[command]
    with discovery() as sock, Terminal(command, *args, cwd=place, env=environment) as terminal:
        end = time.monotonic() + 20
        while terminal.process.poll() is None and time.monotonic() < end:
            sock.sendto(words, DISCOVERY)
            terminal._read(0.02)
        terminal.wait()
        assert controls(terminal.drawn.decode()) == set()
        if command != "tap":
            assert channel_name in terminal.text()
