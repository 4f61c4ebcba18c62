"""Zinc read: all kinds, what real servers sent, and anything that a hostile one may send."""

from __future__ import annotations

from datetime import date, time

import haystack_peers as peers
import hypothesis.strategies as st
import pytest
from hypothesis import given

from speeddata.errors import DataError
from speeddata.haystack import zinc
from speeddata.haystack.kinds import (
    MARKER,
    NA,
    REMOVE,
    Column,
    Coord,
    DateTime,
    Grid,
    Number,
    Ref,
    Symbol,
    Uri,
    XStr,
)

NINE = DateTime(1_290_957_802_773_000_000, -28_800, "Los_Angeles")

LITERALS = [
    ("M", MARKER),
    ("R", REMOVE),
    ("NA", NA),
    ("T", True),
    ("F", False),
    ("1", Number(1)),
    ("-34", Number(-34)),
    ("10_000", Number(10_000)),
    ("5.4e-45", Number(5.4e-45)),
    ("5e3", Number(5000.0)),
    ("1E+5kW", Number(1e5, "kW")),
    ("9.23kg", Number(9.23, "kg")),
    ("74.2°F", Number(74.2, "°F")),
    ("4min", Number(4, "min")),
    ("100%", Number(100, "%")),
    ("3$/kWh", Number(3, "$/kWh")),
    ("35000ft²", Number(35000, "ft²")),
    ("7_own", Number(7, "_own")),
    ("1e", Number(1, "e")),
    ("INF", Number(float("inf"))),
    ("-INF", Number(float("-inf"))),
    ("12345678901234567890", Number(12345678901234567890)),
    ('"hello"', "hello"),
    ('""', ""),
    (r'"foo\nbar\" \\ \$5 \t\r\b\f"', 'foo\nbar" \\ $5 \t\r\b\f'),
    (r'"\u00e9 é \ud83d\ude00"', "é é \U0001f600"),
    ("`http://project-haystack.com/`", Uri("http://project-haystack.com/")),
    (r"`file \#2 \``", Uri(r"file \#2 `")),
    ("@17eb0f3a-ad607713", Ref("17eb0f3a-ad607713")),
    ('@p:demo:r:1.2~3 "Display \\"Name\\""', Ref("p:demo:r:1.2~3", 'Display "Name"')),
    ("^hot-water", Symbol("hot-water")),
    ("2010-03-13", date(2010, 3, 13)),
    ("08:12:05", time(8, 12, 5)),
    ("8:12", time(8, 12)),
    ("08:12:05.123456", time(8, 12, 5, 123456)),
    ("2010-11-28T07:23:22.773-08:00 Los_Angeles", NINE),
    ("2010-11-28T15:23:22.773Z", DateTime(NINE.ns, 0, "UTC")),
    ("2010-11-28T15:23:22.773Z UTC", DateTime(NINE.ns, 0, "UTC")),
    ("2010-11-28T15:23:22.773Z London", DateTime(NINE.ns, 0, "London")),
    ("2010-11-28T18:23:22.773+03:00 GMT-3", DateTime(NINE.ns, 10_800, "GMT-3")),
    ("1969-12-31T23:59:59.999999999Z", DateTime(-1, 0, "UTC")),
    ("C(37.55,-77.45)", Coord(37.55, -77.45)),
    ('Span("today")', XStr("Span", "today")),
    ("[1, 2,3 ]", [Number(1), Number(2), Number(3)]),
    ("[1,]", [Number(1)]),
    ("[N]", [None]),
    ("[]", []),
    ("{}", {}),
    (
        '{dis:"Building" site area:35000ft²}',
        {"dis": "Building", "site": MARKER, "area": Number(35000, "ft²")},
    ),
    ('{dis:"B", site, gone:N}', {"dis": "B", "site": MARKER}),
    ("[{a:[M]}]", [{"a": [MARKER]}]),
]


def grid_of(literal: str) -> str:
    return f'ver:"3.0"\na,b\n{literal},1\n'


@pytest.mark.parametrize(("text", "value"), LITERALS)
def test_every_kind_is_read_as_a_cell_a_tag_and_in_a_list(text, value):
    grid = zinc.read(f'ver:"3.0" t:{text} u\na x:{text} y,b\n{text},[{text}]\n {text} , [ {text} ] \n')
    row = {"a": value, "b": [value]}
    meta, columns = {"t": value, "u": MARKER}, [Column("a", {"x": value, "y": MARKER}), Column("b")]
    assert grid == Grid(meta, columns, [row, row])


def test_nan_is_read_as_nan():
    value = zinc.read(grid_of("NaN")).rows[0]["a"].value
    assert value != value


def test_an_integer_stays_one_and_a_float_a_float():
    values = [zinc.read(grid_of(text)).rows[0]["a"].value for text in ("1", "1.0", "1e0")]
    assert [type(value) for value in values] == [int, float, float]


@pytest.mark.parametrize("text", [text for text, _ in LITERALS])
def test_phable_reads_them_alike(text):
    assert peers.by_phable(grid_of(text)) == peers.plain(zinc.read(grid_of(text)))


def test_names_may_begin_with_an_underscore_as_haxall_allows():
    assert zinc.read('ver:"3.0"\n_a\n1\n').rows == [{"_a": Number(1)}]


def test_null_cells_are_not_in_their_row_and_empty_rows_stay():
    grid = zinc.read('ver:"3.0"\na,b,c\n"a",N,2\n"a",,2\n,,\n,1,\n')
    assert grid.rows == [{"a": "a", "c": Number(2)}] * 2 + [{}, {"b": Number(1)}]
    assert zinc.read('ver:"3.0"\na\nN\n1\n').rows == [{}, {"a": Number(1)}]


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n \n\n", "\r\n\r\n"])
def test_a_grid_ends_with_the_text_or_with_blank_lines(end):
    assert zinc.read(f'ver:"3.0"\nempty{end}') == Grid({}, [Column("empty")], [])
    assert zinc.read(f'ver:"3.0"\na\n1{end}').rows == [{"a": Number(1)}]


def test_lines_may_end_as_windows_or_old_macs_end_them():
    text = 'ver:"3.0" a\nb,c\n1,2\n\n'
    assert zinc.read(text) == zinc.read(text.replace("\n", "\r\n")) == zinc.read(text.replace("\n", "\r"))


def test_nested_grids_are_read_as_the_specification_indents_them():
    text = 'ver:"3.0"\ntype,val\n"grid",<<\n  ver:"2.0"\n  a,b\n  1,2\n  3,\n  >>\n"scalar","simple"\n'
    inner = Grid({}, [Column("a"), Column("b")], [{"a": Number(1), "b": Number(2)}, {"a": Number(3)}])
    assert zinc.read(text).rows == [{"type": "grid", "val": inner}, {"type": "scalar", "val": "simple"}]


@pytest.mark.parametrize(
    "inner", ['<<ver:"3.0"\na\n1>>', '<<\nver:"3.0"\na\n1\n\n>>', '<<ver:"3.0"\na\n1\n>>']
)
def test_a_nested_grid_may_end_on_its_own_line_or_after_a_blank_one(inner):
    assert zinc.read(grid_of(inner)).rows == [
        {"a": Grid({}, [Column("a")], [{"a": Number(1)}]), "b": Number(1)}
    ]


def test_version_2_has_bins_without_quotes():
    assert zinc.read('ver:"2.0"\na\nBin(text/plain)\n').rows == [{"a": XStr("Bin", "text/plain")}]
    assert zinc.read('ver:"3.0"\na\nBin("text/plain")\n').rows == [{"a": XStr("Bin", "text/plain")}]


def test_several_grids_are_divided_by_blank_lines():
    grids = zinc.read_all('ver:"3.0"\na\n1\n\n\nver:"3.0" err\nempty\n\n')
    assert [grid.meta for grid in grids] == [{}, {"err": MARKER}]
    assert zinc.read_all("\n") == []
    with pytest.raises(DataError, match="line 4: no Zinc: a blank line ends a grid, but more follows"):
        zinc.read('ver:"3.0"\na\n\nver:"3.0"\na\n')


def test_halves_of_utf_16_that_a_java_server_sends_are_joined():
    body = b'ver:"3.0"\na\n"\xed\xa0\xbd\xed\xb8\x80"\n'
    assert zinc.read(body.decode("utf-8", "surrogatepass")).rows == [{"a": "\U0001f600"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: no Zinc: a grid begins with ver:"),
        ("<!DOCTYPE html>", "line 1: no Zinc: a grid begins with ver:, at <!DOCTYPE html>"),
        ('ver:"4.0"\na\n', "line 1: no Zinc: version 4.0 instead of 2.0 or 3.0"),
        ('ver:"3.0"', "line 1: no Zinc: no name, which begins with a lower-case letter"),
        ('ver:"3.0"\nNo\n', "line 2: no Zinc: no name, which begins with a lower-case letter, at No"),
        ('ver:"3.0"\na,a\n', "line 2: no Zinc: column a twice"),
        ('ver:"3.0"\na b:\n', "line 2: no Zinc: no value"),
        ('ver:"3.0"\na,b\n1\n', "line 3: no Zinc: a row of fewer cells than columns"),
        ('ver:"3.0"\na,b\n\n1,2,3', "line 4: no Zinc: a blank line ends a grid, but more follows, at 1,2,3"),
        ('ver:"3.0"\na,b\n1,2,3', "line 3: no Zinc: a row of more cells than columns, at ,3"),
        ('ver:"3.0"\na\n1 2', "line 3: no Zinc: neither a comma nor the end of the line after a cell, at 2"),
        ('ver:"3.0"\na\n"b\nc"', 'line 3: no Zinc: no value, at "b'),
        ('ver:"3.0"\na\n"\\x"', 'line 3: no Zinc: no value, at "\\x"'),
        ('ver:"3.0"\na\n2026-02-30', "line 3: no Zinc: no date, at 2026-02-30"),
        ('ver:"3.0"\na\n25:00', "line 3: no Zinc: no time, at 25:00"),
        (
            'ver:"3.0"\na\n2026-01-01T00:00:00+01:00',
            "line 3: no Zinc: a date-time without time zone, at 2026-01-01T00:00:00+01:00",
        ),
        ('ver:"3.0"\na\nNaNa', "line 3: no Zinc: no such word, at NaNa"),
        ('ver:"3.0"\na\n' + "C(" * 5000, "line 3: no Zinc: no degrees in a coordinate, at " + "C(" * 15),
        ('ver:"3.0"\na\nC(1,"x")', 'line 3: no Zinc: no degrees in a coordinate, at "x")'),
        ('ver:"3.0"\na\n[1 2]', "line 3: no Zinc: no ,, at 2]"),
        ('ver:"3.0"\na\n<<ver:"3.0"\nb\n1\n', "line 6: no Zinc: a nested grid without >>"),
        ('ver:"3.0"\na\n1\u2028', "line 3: no Zinc: a unit that hides something, at 1\\u2028"),
        ('ver:"3.0"\na\n\x1b[2J', "line 3: no Zinc: no value, at \\x1b[2J"),
    ],
)
def test_what_is_no_zinc_is_told_with_its_line(text, told):
    with pytest.raises(DataError) as caught:
        zinc.read(text)
    assert str(caught.value) == told


def test_an_error_says_whose_answer_it_is_about():
    with pytest.raises(DataError, match="read line 3: no Zinc"):
        zinc.read('ver:"3.0"\na\n!\n', where="read")


def nested(depth: int) -> str:
    return grid_of("[" * depth + "]" * depth)


def test_nesting_is_capped_long_before_python_gives_up():
    zinc.read(nested(16))
    for text in (nested(17), nested(100_000), grid_of("{a:" * 10_000), grid_of('<<ver:"3.0"\na\n' * 10_000)):
        with pytest.raises(DataError, match="nested deeper than 16"):
            zinc.read(text)


def test_columns_and_digits_are_capped():
    with pytest.raises(DataError, match="more than 20,000 columns"):
        zinc.read('ver:"3.0"\n' + ",".join(f"a{number}" for number in range(20_001)))
    with pytest.raises(DataError, match="a number of more than 1,000 digits"):
        zinc.read(grid_of("1" * 100_000))


@pytest.mark.parametrize(
    "piece", ['"\\n', "a_", "1_", "1e", "`\\#", "[", " ", "-", "@a ", '"', "[@", "é", "1:"]
)
def test_no_text_takes_longer_than_its_length(piece):
    with pytest.raises(DataError):
        zinc.read(f'ver:"3.0"\na\n{piece * 200_000}!\n')


def grid_or_error(text: str) -> bool:
    try:
        return isinstance(zinc.read(text), Grid)
    except DataError as error:
        return str(error).isprintable()


ALPHABET = 'ver:"3.0"\n a,b12NMT<>[]{}()"\\u$`@^-:.eE_°C\r\t\u2028\ud800\U0001f600'


@given(st.text() | st.text(ALPHABET) | st.text(ALPHABET).map(lambda text: f'ver:"3.0"\na,b\n{text}'))
def test_any_text_gives_a_grid_or_a_data_error(text):
    assert grid_or_error(text)


@given(st.binary().map(lambda data: b'ver:"3.0"\na\n' + data))
def test_any_bytes_give_a_grid_or_a_data_error(data):
    assert grid_or_error(data.decode("utf-8", "surrogateescape"))
