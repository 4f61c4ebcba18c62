"""Notes about what the network can repeat: each once, and an end to all of them."""

from __future__ import annotations

import logging

from speeddata.relay.once import Once


def test_each_thing_is_told_once(caplog):
    once = Once()
    for source in ("a", "b", "a"):
        once.tell((source,), logging.WARNING, f"{source} is refused")
    assert caplog.messages == ["a is refused", "b is refused"]


def test_a_flood_of_different_things_ends_with_a_word_that_it_ends(caplog):
    once = Once()
    for number in range(5000):
        once.tell((number,), logging.WARNING, f"{number} is refused")
    assert len(caplog.messages) == 1025
    assert caplog.messages[-2:] == [
        "1023 is refused",
        "more than 1024 notes about what arrives; no more are told",
    ]
