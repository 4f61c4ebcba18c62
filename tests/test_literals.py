"""Zinc written: what is read back is what was written, by others too, and nothing breaks out of its place."""

from __future__ import annotations

from datetime import date, time

import haystack_peers as peers
import hypothesis.strategies as st
import pytest
from hypothesis import given

from speeddata.errors import UsageError
from speeddata.haystack import literals, zinc
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

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "N"),
        (MARKER, "M"),
        (NA, "NA"),
        (REMOVE, "R"),
        (True, "T"),
        (False, "F"),
        (Number(2**63 + 1), "9223372036854775809"),
        (Number(-0.0), "-0.0"),
        (Number(1e300, "kW"), "1e+300kW"),
        (Number(21.5, "°C"), "21.5°C"),
        (Number(float("nan"), "kW"), "NaN"),
        (Number(float("inf")), "INF"),
        (Number(float("-inf")), "-INF"),
        ('$5 "x" \\ é', r'"\$5 \"x\" \\ é"'),
        ("a\n\r\t\b\f\0\x7f\x85\u2028\ufeff", r'"a\n\r\t\b\f\u0000\u007f\u0085\u2028\ufeff"'),
        ("\U0001f600\ud800", r'"\ud83d\ude00\ud800"'),
        (Ref("p:demo:r:1-2.3~4", 'a "b"'), r'@p:demo:r:1-2.3~4 "a \"b\""'),
        (Uri("http://x/?a=`b`\\"), "`http://x/?a=\\`b\\`\\u005c`"),
        (Uri(r"file \#2"), r"`file \#2`"),
        (Symbol("hot-water"), "^hot-water"),
        (Coord(1e-7, -180.0), "C(0.0000001,-180.0)"),
        (XStr("Span", "a\nb"), r'Span("a\nb")'),
        (date(2026, 11, 1), "2026-11-01"),
        (time(8, 12, 5), "08:12:05"),
        (DateTime(0, -18_000, "New_York"), "1969-12-31T19:00:00-05:00 New_York"),
        (DateTime(1_500_000, 19_800, "Kolkata"), "1970-01-01T05:30:00.001500+05:30 Kolkata"),
        (DateTime(-1, 0, "UTC"), "1969-12-31T23:59:59.999999999Z UTC"),
        # an offset of 44:30 is written 44; the clock with it, so that the moment is right
        (DateTime(0, -2670, "Monrovia"), "1969-12-31T23:16:00-00:44 Monrovia"),
        ([Number(1), None, ["a"]], '[1,N,["a"]]'),
        ({"site": MARKER, "dis": "x", "gone": None}, '{site dis:"x"}'),
    ],
)
def test_every_kind_has_its_text(value, text):
    assert zinc.literal(value) == text


def test_a_grid_is_written_line_by_line():
    columns = [Column("id", {"dis": "Id", "key": MARKER}), Column("b")]
    rows = [{"id": Ref("a"), "b": Number(1)}, {}, {"b": Grid({}, [Column("x")], [{}])}]
    assert zinc.write(Grid({"commit": "add"}, columns, rows)) == (
        'ver:"3.0" commit:"add"\nid dis:"Id" key,b\n@a,1\n,\n,<<\nver:"3.0"\nx\nN\n>>\n'
    )
    assert zinc.write(Grid()) == 'ver:"3.0"\nempty\n'


@pytest.mark.parametrize(
    "value",
    [
        Ref(""),
        Ref("a b"),
        Ref("a\n@b"),
        Ref("a,b"),
        Symbol("a b"),
        XStr("span", "x"),
        XStr("Bin(", "x"),
        Number(1, "e5"),
        Number(1, "_5"),
        Number(0, "x5"),
        Number(1, "k W"),
        Number(1, "k,W"),
        Number(1, ""),
        Number(1, "a\u2028b"),
        DateTime(0, 0, "UTC,1"),
        DateTime(10**21, 0, "UTC"),
        Coord(float("nan"), 0.0),
        {"a b": MARKER},
        {"A": MARKER},
        {"a\n": MARKER},
    ],
)
def test_what_would_break_out_of_its_place_is_refused(value):
    with pytest.raises(UsageError):
        zinc.literal(value)
    with pytest.raises(UsageError):
        zinc.write(Grid({"x": value}, [Column("a")], []))


def test_names_of_columns_are_proven():
    for name in ("", "a b", "a,b", "Ab", "a\n"):
        with pytest.raises(UsageError, match="is no name of a tag"):
            zinc.write(Grid({}, [Column(name)], []))


NAMES = st.from_regex(literals.ID, fullmatch=True).filter(lambda name: name != "ver")
IDS = st.from_regex(literals.REF, fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text('"\\$`\n\r\t\0,<>\U0001f600é')
UNITS = st.sampled_from([None, "kW", "°C", "%", "$/kWh", "_own", "m³/s"])
NUMBERS = st.builds(Number, st.integers() | st.floats(allow_nan=False, allow_infinity=False), UNITS)
INFINITE = st.sampled_from([Number(float("inf")), Number(float("-inf"))])
STAMPS = st.builds(
    DateTime,
    st.integers(-60_000 * DAY_NS, 60_000 * DAY_NS),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: minutes * 60),
    st.sampled_from(["UTC", "New_York", "GMT+5", "Port-au-Prince"]),
)
SCALARS = st.one_of(
    st.sampled_from([MARKER, NA, REMOVE, True, False]),
    *(NUMBERS, INFINITE, TEXTS, STAMPS, st.dates(), st.times()),
    *(st.builds(Ref, IDS, st.none() | TEXTS), st.builds(Symbol, IDS), st.builds(Uri, TEXTS)),
    st.builds(XStr, st.sampled_from(["Span", "Bin", "A_1"]), TEXTS),
    st.builds(Coord, st.floats(-90, 90), st.floats(-180, 180)),
)


def grids(values: st.SearchStrategy) -> st.SearchStrategy[Grid]:
    @st.composite
    def grid(draw: st.DrawFn) -> Grid:
        tags = st.dictionaries(NAMES, values, max_size=3)
        names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
        rows = st.dictionaries(st.sampled_from(names), values, max_size=len(names))
        columns = [Column(name, draw(tags)) for name in names]
        return Grid(draw(tags), columns, draw(st.lists(rows, max_size=4)))

    return grid()


VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner | st.none(), max_size=3) | st.dictionaries(NAMES, inner, max_size=3) | grids(inner)
    ),
    max_leaves=8,
)


@given(grids(VALUES))
def test_what_was_written_is_read(grid):
    assert zinc.read(zinc.write(grid)) == grid


@given(st.lists(grids(SCALARS), max_size=3))
def test_grids_divided_by_blank_lines_are_read(several):
    assert zinc.read_all("\n".join(map(zinc.write, several))) == several


# Left out is what readers disagree about: the escapes of URIs, which mean something there; the displays of
# refs, which do not count; integers beyond 2**53, for all others have floats only; and, by fault, fractions
# of a microsecond (phable), and times of the day and INF with a unit (phable and hszinc).
SIMPLE = st.one_of(
    st.sampled_from([MARKER, NA, REMOVE, True, False]),
    *(st.builds(Number, st.integers(-(2**53), 2**53) | st.floats(), UNITS), TEXTS, st.dates()),
    *(st.builds(Ref, IDS, st.none() | TEXTS), st.builds(Symbol, IDS)),
    st.builds(Coord, st.floats(-90, 90).map(lambda at: round(at, 6)), st.integers(-180, 180).map(float)),
)


@given(grids(SIMPLE))
def test_phable_reads_what_was_written(grid):
    text = zinc.write(grid)
    ours = peers.plain(zinc.read(text))
    assert peers.by_phable(text) == peers.without_empty_rows(ours)


def commit_of(texts: list[str]) -> Grid:
    """A grid of the kind that this program sends."""
    columns = [Column(name) for name in ("id", "dis", "point", "siteRef", "lat", "kind")]
    rows = [
        {
            "id": Ref(f"speeddata-{number}"),
            "dis": text,
            "point": MARKER,
            "siteRef": Ref("s:1", "x"),
            "lat": Number(-1.5e-9, "°C"),
        }
        for number, text in enumerate(texts)
    ]
    return Grid({"commit": "add", "n": NA}, columns, [*rows, {"kind": "Str"}])


@given(st.lists(TEXTS, max_size=3))
def test_hszinc_reads_what_is_sent(texts):
    grid = commit_of(texts)
    assert peers.by_hszinc(zinc.write(grid)) == peers.plain(grid)


def test_haystack_core_reads_what_was_written():
    texts = ["", "é", '$"\\', "\0\n\r\t\x1f\x7f\u2028\ufeff", "\U0001f600", ">>", "],["]
    values = [
        *(MARKER, NA, REMOVE, True, Number(1e300), Number(-5e-324), Number(2**53), Number(3, "m³/s")),
        *(Ref("a~b:c-d.e"), Symbol("x-y"), date(2026, 1, 2), Coord(0.0000001, -77.45), XStr("Span", "a b")),
        *(DateTime(1_500_000, -18_000, "New_York"), DateTime(-1_000, 0, "UTC"), DateTime(0, 0, "London")),
        *(DateTime(0, -18_000, "GMT+5"), ["a", Number(1)], {"a": MARKER, "b": "x"}, Number(float("nan"))),
        *(Number(float("inf")), Number(float("-inf")), Number(1, "$/kWh"), *texts),
    ]
    written = [Grid({}, [Column("a"), Column("b")], [{"a": value}, {"b": value}]) for value in values]
    written.append(commit_of(texts))
    found = peers.by_haystack_core(list(map(zinc.write, written)))
    assert found == list(map(peers.plain, written))
