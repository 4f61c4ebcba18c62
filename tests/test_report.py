"""stderr: silent when all is well, one line when it is not."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace

import pytest

from speeddata import report
from speeddata.errors import DataError

logger = logging.getLogger("speeddata.relay.relaying")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def start_again():
    yield
    report.clear_status()
    logging.getLogger("speeddata").setLevel(logging.NOTSET)


@pytest.fixture
def stderr(monkeypatch, request):
    stream = request.param() if hasattr(request, "param") else io.StringIO()
    # pytest puts its own sys.stderr back before the test itself runs
    monkeypatch.setattr(report, "sys", SimpleNamespace(stderr=stream))
    return stream


on_a_terminal = pytest.mark.parametrize("stderr", [Terminal], indirect=True)


def say_everything() -> None:
    logger.debug("debug")
    logger.info("note")
    logger.warning("warning %d", 7)
    logger.error("error")


def test_a_pipe_gets_warnings_and_errors(stderr):
    report.start()
    say_everything()
    assert stderr.getvalue() == "speeddata: warning 7\nspeeddata: error\n"


@on_a_terminal
def test_a_terminal_gets_notes_too(stderr):
    report.start()
    say_everything()
    assert stderr.getvalue() == "speeddata: note\nspeeddata: warning 7\nspeeddata: error\n"


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO], indirect=True)
def test_quiet_leaves_errors(stderr):
    report.start(report.QUIET)
    say_everything()
    assert stderr.getvalue() == "speeddata: error\n"


def test_verbose_tells_everything(stderr):
    report.start(report.VERBOSE)
    say_everything()
    assert stderr.getvalue().splitlines() == [
        f"speeddata: {x}" for x in ("debug", "note", "warning 7", "error")
    ]


def test_starting_twice_tells_everything_once(stderr):
    report.start()
    report.start()
    logger.error("once")
    assert stderr.getvalue() == "speeddata: once\n"


def test_an_error_is_one_line_of_where_what_and_the_cure(stderr):
    report.error(
        DataError("sync marker missing", where="a.avro: byte 7", mend="run `speeddata info --repair`")
    )
    assert stderr.getvalue() == (
        "speeddata: a.avro: byte 7: sync marker missing; run `speeddata info --repair`\n"
    )


def test_nothing_from_the_network_steers_the_terminal_or_fakes_a_line(stderr):
    report.start()
    report.error(DataError("bad\nspeeddata: all is well", where="\x1b[2J"))
    logger.error("%s", "a\rb\x9b31m")
    assert stderr.getvalue() == (
        "speeddata: \\x1b[2J: bad\\x0aspeeddata: all is well\nspeeddata: a\\x0db\\x9b31m\n"
    )


def test_a_traceback_is_told_only_when_asked_for(stderr):
    def log() -> None:
        try:
            raise RuntimeError("inner")
        except RuntimeError:
            logger.error("outer", exc_info=True)

    report.start()
    log()
    assert stderr.getvalue() == "speeddata: outer\n"
    report.start(report.VERBOSE)
    log()
    assert "RuntimeError: inner\n" in stderr.getvalue()


@on_a_terminal
def test_a_status_takes_the_place_of_the_one_before(stderr):
    report.start()
    report.status(["a", "b"])
    report.status(["c"])
    report.clear_status()
    report.clear_status()
    assert stderr.getvalue() == "a\nb\n" + "\x1b[2A\r\x1b[J" + "c\n" + "\x1b[1A\r\x1b[J"


@on_a_terminal
def test_a_note_takes_the_status_off_the_screen_first(stderr):
    report.start()
    report.status(["a"])
    logger.warning("note")
    report.status(["b"])
    assert stderr.getvalue() == "a\n" + "\x1b[1A\r\x1b[J" + "speeddata: note\n" + "b\n"


@on_a_terminal
def test_a_status_is_cut_to_the_screen_and_made_harmless(stderr):
    report.start()
    report.status(["x" * 500, "\x1b[2J"])
    assert stderr.getvalue() == "x" * 79 + "\n\\x1b[2J\n"


def test_a_status_is_for_terminals_only(stderr):
    report.start()
    report.status(["a"])
    assert stderr.getvalue() == ""


@on_a_terminal
def test_a_quiet_run_shows_no_status(stderr):
    report.start(report.QUIET)
    report.status(["a"])
    assert stderr.getvalue() == ""


def test_a_stderr_that_is_gone_stops_nothing(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for stream in (Broken(), None):
        monkeypatch.setattr(report, "sys", SimpleNamespace(stderr=stream))
        report.start()
        logger.error("lost")
        report.error(DataError("lost"))
        report.status(["lost"])
