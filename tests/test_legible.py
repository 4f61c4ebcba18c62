"""Text made harmless, and errors that stay one line whatever they quote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.errors import DataError
from speeddata.legible import json_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 漢字 é", "plain text, 漢字 é"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\nb\r\tc\0\x7f\x9b", r"a\x0ab\x0d\x09c\x00\x7f\x9b"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2028", r"\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_steer_a_terminal_is_made_visible(text, shown):
    assert printable(text) == shown


@given(st.text(alphabet=st.characters()))
def test_printable_text_stays_and_all_other_becomes_printable(text):
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) is text


@given(st.text(alphabet=st.characters()))
def test_json_in_a_line_is_printable_and_says_the_same(text):
    line = json_line({text: [text]})
    assert line.isprintable()
    assert json.loads(line) == {text: [text]}


@given(st.text(), st.text(), st.text())
def test_an_error_is_one_line_whatever_it_quotes(what, where, mend):
    assert str(DataError(what, where=where, mend=mend)).isprintable()


def test_an_error_says_where_what_and_how_to_mend_it():
    assert str(DataError("no\nsuch thing", where="a\x1b.csv", mend="make one")) == (
        r"a\x1b.csv: no\x0asuch thing; make one"
    )
