"""`subscribe set` at a terminal: it asks, and what is answered is not shown."""

from __future__ import annotations

import pytest
from subscribe_by_hand import subscribe
from terminal import Terminal

assert subscribe is not None  # a fixture

SECRET = "nats://plant:s3cret@127.0.0.1:4222/SPEED"
QUESTION = "connection string of plant: "


@pytest.fixture
def asked(subscribe):
    """A terminal in which `subscribe set` has asked its question."""
    args = ("subscribe", "set", "--customer", "plant")
    with Terminal(*args, cwd=subscribe.directory, env=subscribe.environment) as terminal:
        terminal.until(QUESTION, since=0)
        yield terminal


@pytest.fixture
def kept(subscribe):
    return subscribe.config / "speeddata" / "destinations" / "plant"


def test_it_asks_at_a_terminal_and_shows_no_character_of_the_answer(asked, kept):
    asked.press(f"{SECRET}\n")
    assert asked.wait() == 0
    assert asked.text().split("\r\n")[0] == QUESTION
    assert b"s3cret" not in asked.drawn
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (f"{SECRET}\n", 0o600)


def test_an_answer_that_is_none_is_refused_and_not_repeated(asked, kept):
    asked.press("nats//plant:s3cret@127.0.0.1/SPEED\n")
    assert asked.wait() == 2
    assert b"is no connection string" in asked.drawn
    assert b"s3cret" not in asked.drawn
    assert not kept.exists()


@pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x04", 2)])
def test_no_answer_sets_nothing(asked, kept, key, status):
    asked.press(key)  # Ctrl-C and Ctrl-D
    assert asked.wait() == status
    assert b"Traceback" not in asked.drawn
    assert not kept.exists()
