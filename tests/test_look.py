"""How lines are shared out, and what a terminal can show."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from speeddata.stripchart.look import heights, plain, speaks_utf8


@pytest.mark.parametrize(
    ("wanted", "height", "lines"),
    [
        ([0], 38, [38]),
        ([0, 0, 0], 38, [12, 13, 13]),
        ([0, 3], 38, [35, 3]),
        ([0] * 10, 38, [6] * 10),
        ([0, 0], 3, [3, 3]),
        ([50], 20, [10]),
        ([3, 0], 4, [2, 4]),
        ([], 20, []),
        ([0], 0, [1]),
    ],
)
def test_charts_share_the_lines_or_go_on_below(wanted, height, lines):
    assert heights(wanted, height, 6) == lines


@pytest.mark.parametrize("text", ["│┤└", "● ◆ … ∞", "漢字", "⠿⡇"])
def test_plain_text_takes_as_many_cells(text):
    assert plain(text).isascii()
    assert len(plain(text)) == cell_len(text)


@pytest.mark.parametrize(
    ("environ", "can"),
    [
        ({}, True),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_ALL": "", "LANG": "POSIX"}, False),
    ],
)
def test_the_locale_tells_whether_there_is_utf_8(environ, can):
    assert speaks_utf8(environ.items()) is can
