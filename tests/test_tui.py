"""`speeddata tui` as a real process: on a terminal, with real sources and relays, in a pipe, as a server."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from by_hand import RIG_TEXT
from terminal import Terminal

from speeddata.avro.container import write_header

BRAILLE = "[\u2840-\u28ff]"


@pytest.fixture
def rig(spawn, free_port, channel_name):
    """A relay and a source: `name` of the channel, `send(name)` for another one."""

    class Rig:
        name = channel_name
        port = free_port()

        def relay(self):
            started = spawn("relay", "--listen", f"127.0.0.1:{self.port}")
            return started

        def send(self, name, *more):
            return spawn(
                "send", "--demo", "--name", name, "--rate", 500, "--to", f"127.0.0.1:{self.port}", *more
            )

    made = Rig()
    made.running = made.relay()
    made.send(made.name)
    return made


@pytest.fixture
def terminal(environment, tmp_path):
    """`terminal("tui", ...)`: a command on a terminal of its own."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **more: stack.enter_context(
            Terminal(*args, cwd=tmp_path, env=environment, **more)
        )


def test_a_channel_is_drawn_and_q_leaves_the_terminal_as_it_was(rig, terminal):
    tui = terminal("tui", rig.name)
    tui.until(f"{rig.name}.*sine_wave.*{BRAILLE}.*live|live.*sine_wave.*{BRAILLE}")
    tui.press("q")
    assert tui.wait() == 0
    assert tui.is_restored


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_q_does(rig, terminal, number):
    tui = terminal("tui", rig.name)
    tui.until("sine_wave")
    os.kill(tui.process.pid, number)
    assert tui.wait() == 0
    assert tui.is_restored


def test_a_terminal_that_is_closed_ends_it(rig, terminal):
    tui = terminal("tui", rig.name)
    tui.until("sine_wave")
    tui.hang_up()
    assert tui.process.wait(8) == 0


def go_to(tui, name):
    """Have the page of the channel *name* shown, as soon as there is one."""
    begun = len(tui.drawn)  # a title that is there already is not drawn again
    for _ in range(10):
        tui.press(f"/{name}.sine\r")
        with contextlib.suppress(AssertionError):
            return tui.until(f"SpeedData +{re.escape(name)} ", deadline_s=3, since=begun)
    raise AssertionError(tui.text()[-3000:])


@pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ, reason="sees the channels of all tests beside it: run it with -n 0"
)
def test_a_new_channel_appears_by_itself(rig, terminal):
    tui = terminal("tui", size=(200, 40))
    go_to(tui, rig.name)
    rig.send(f"{rig.name}.second")
    go_to(tui, f"{rig.name}.second")
    tui.press("\x03")
    assert tui.wait() == 0


def test_the_relay_gone_and_back_goes_on_by_itself(rig, terminal):
    tui = terminal("tui", rig.name)
    tui.until("sine_wave")
    rig.running.kill()
    tui.until("silent")
    rig.relay()
    tui.until("live")
    tui.press("q")
    assert tui.wait() == 0


def test_marks_are_written_beside_the_recording(rig, terminal, tmp_path):
    tui = terminal("tui", rig.name)
    tui.until("sine_wave")
    tui.press("m")
    tui.until("mark-1")
    tui.press("m")
    tui.until("pivot --mark mark-1")
    tui.press("q")
    assert tui.wait() == 0
    begun, ended = (json.loads(line) for line in (tmp_path / "data/marks.jsonl").read_text().splitlines())
    assert begun["end"] is None
    assert ended["begin"] < ended["end"]
    assert ended["channels"] == [rig.name]


def test_a_recording_is_a_source(run, terminal):
    assert run("demo", "-d", 0.5, "-o", "sd", "--no-tui")[0] == 0
    tui = terminal("tui", "sd/")
    tui.until(f"demo.*recording.*sine_wave|recording.*sine_wave.*{BRAILLE}")
    tui.press("q")
    assert tui.wait() == 0


def test_data_comes_from_a_pipe_and_keys_from_the_terminal(run, spawn, terminal, tmp_path):
    assert run("demo", "-d", 0.5, "-o", "sd", "--no-tui")[0] == 0
    (path,) = (tmp_path / "sd/demo").glob("*.avro")
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        tui = terminal("tui", "-", stdin=cat.stdout.fileno())
        tui.until(f"demo.*sine_wave.*{BRAILLE}")
        tui.press("v")
        tui.until("mean")
        tui.press("q")
        assert tui.wait() == 0
    assert tui.is_restored


def test_the_demo_opens_it(terminal):
    tui = terminal("demo")
    tui.until(f"demo.*live.*sine_wave.*{BRAILLE}")
    tui.press("q")
    assert tui.wait() == 0
    assert "datums a second" in tui.text()


@pytest.mark.parametrize("args", [(), ("rig",), ("-",)])
def test_without_a_terminal_it_says_so_in_one_line(run, args):
    status, out, err = run("tui", *args)
    assert (status, out) == (2, "")
    assert err.startswith("speeddata: standard output: no terminal to draw on; ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--window", "0"), "--window: a window has to last; write it like 30s"),
        (("--window", "soon"), "--window: 'soon' is no duration"),
        (("ri g",), "'ri g' is no SOURCE"),
        (("gone/",), "gone"),
        (("--serve", "rig"), "'rig' is no endpoint"),
        (("-", "--serve"), "--serve: standard input cannot be served"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(terminal, args, message):
    tui = terminal("tui", *args)
    assert tui.wait() in (1, 2, 3)
    assert message in tui.text()
    assert tui.text().strip().count("\n") == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-S", "vlots"), "--signal: there is no signal 'vlots'; did you mean volts?"),
        (("-S", "volts", "-S", "x*"), "--signal: there is no signal 'x*'; choose from time, volts, note"),
        (("--decimated",), "rec/: --decimated is for what is live; leave it out"),
        (("-s", "rig.avsc"), "rec/: --schema is for what is live; leave it out"),
    ],
)
def test_what_a_recording_never_has_is_refused_before_anything_is_drawn(run, tmp_path, flags, message):
    (tmp_path / "rec").mkdir()
    metadata = {"avro.schema": RIG_TEXT, "avro.codec": "null", "speeddata.channel": "rig"}
    (tmp_path / "rec/rig.avro").write_bytes(write_header(metadata, bytes(16)))
    assert run("tui", "rec/", *flags) == (2, "", f"speeddata: {message}\n")


def test_a_wrong_layout_is_told_by_its_place(terminal, tmp_path):
    (tmp_path / "speeddata.toml").write_text("[[tui.page]]\nname = 'a'\n[[tui.page.chart]]\nsignal = 'x'\n")
    tui = terminal("tui")
    assert tui.wait() == 2
    assert "speeddata.toml: tui.page[1].chart[1].signal: no such setting; did you mean signals?" in tui.text()


def test_settings_of_the_command_stand_beside_its_pages(run, tmp_path):
    (tmp_path / "speeddata.toml").write_text("[tui]\nwindow = 'soon'\n[[tui.page]]\nname = 'a'\n")
    status, _, err = run("tui")
    assert (status, err) == (
        2,
        "speeddata: speeddata.toml: window: 'soon' is no duration; write it like 90s, 10m, 1.5h or 100ms\n",
    )


def test_without_textual_serve_it_tells_what_to_install(run, tmp_path, environment):
    (tmp_path / "hidden/textual_serve").mkdir(parents=True)
    (tmp_path / "hidden/textual_serve/__init__.py").write_text("raise ImportError\n")
    path = os.pathsep.join((str(tmp_path / "hidden"), environment["PYTHONPATH"]))
    status, _, err = run("tui", "--serve", env={"PYTHONPATH": path})
    assert (status, err) == (
        2,
        "speeddata: --serve: needs textual-serve, which is not installed; pip install 'speeddata[web]'\n",
    )


needs_web = pytest.mark.skipif(
    importlib.util.find_spec("textual_serve") is None, reason="textual-serve is not installed"
)


def tcp_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def asked(port, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@needs_web
def test_it_is_served_to_browsers_where_asked(spawn, wait_for):
    port = tcp_port()
    serving = spawn("tui", "rig", "--serve", f"127.0.0.1:{port}")

    def answered():
        with contextlib.suppress(OSError):
            return asked(port)

    status, page = wait_for(answered)
    assert status == 200
    assert f"ws://127.0.0.1:{port}/ws" in page
    assert "https://" not in page
    assert asked(port, Host=f"evil.example:{port}")[0] == 403
    assert asked(port, "/ws", Origin="http://evil.example")[0] == 403
    assert serving.terminate() == 0


@needs_web
def test_a_key_pressed_in_a_browser_arrives(rig, spawn, wait_for):
    port = tcp_port()
    serving = spawn("tui", rig.name, "--serve", f"127.0.0.1:{port}")

    import aiohttp  # comes with textual-serve

    async def talk():
        shown = b""
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"http://127.0.0.1:{port}/ws?width=120&height=40") as page,
        ):

            async def until(text):
                nonlocal shown
                while text not in shown:
                    message = await asyncio.wait_for(page.receive(), 20)
                    shown += message.data if isinstance(message.data, bytes) else b""
                shown = b""

            await until(b"sine_wave")
            await page.send_json(["stdin", "?"])
            await until(b"begin a mark here")

    def connected():
        with contextlib.suppress(aiohttp.ClientConnectorError):
            asyncio.run(talk())
            return True

    wait_for(connected)
    assert serving.terminate() == 0


@needs_web
def test_what_draws_for_a_browser_ends_with_a_server_that_is_killed(rig, spawn, wait_for):
    port = tcp_port()
    serving = spawn("tui", rig.name, "--serve", f"127.0.0.1:{port}")

    import aiohttp

    async def killed_while_looking():
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"http://127.0.0.1:{port}/ws?width=120&height=40") as page,
        ):
            shown = b""
            while b"sine_wave" not in shown:
                message = await asyncio.wait_for(page.receive(), 20)
                shown += message.data if isinstance(message.data, bytes) else b""
            drawing = Path(f"/proc/{serving.pid}/task/{serving.pid}/children").read_text().split()
            serving.kill()
            return [int(pid) for pid in drawing]

    def connected():
        with contextlib.suppress(aiohttp.ClientConnectorError):
            return asyncio.run(killed_while_looking())

    for pid in wait_for(connected):
        wait_for(lambda pid=pid: has_ended(pid))


def has_ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"  # nobody reaped it
    except OSError:
        return True


@needs_web
def test_a_port_that_is_taken_is_told(run):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        status, _, err = run("tui", "--serve", f"127.0.0.1:{sock.getsockname()[1]}")
    assert status == 1
    assert "cannot listen" in err
    assert err.count("\n") == 1


def test_the_first_picture_comes_soon(rig, terminal, wait_for):
    terminal("tui", rig.name).until("sine_wave")  # the source is there, and what is imported is in memory
    begun = time.monotonic()
    tui = terminal("tui", rig.name)
    tui.until(f"sine_wave.*{BRAILLE}")
    assert time.monotonic() - begun < 15  # the bench holds it to 1.5 s; here the machine is shared
