"""Samples as grids: whatever is in them, every reader finds the very samples, and only those."""

from __future__ import annotations

import math
import struct
from typing import Any

import haystack_peers as peers
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from speeddata.errors import UsageError
from speeddata.haystack import hisgrid, zinc
from speeddata.haystack.hisgrid import batch_body, single_body, size_of
from speeddata.haystack.kinds import NA, Number, Ref
from speeddata.haystack.points import Cells, Point, Table

SECOND_NS = 10**9
START_NS = 1_795_273_200 * SECOND_NS  # 2026-11-21T10:00:00-05:00
TRUE, FALSE = True, False
INF, NAN = math.inf, math.nan


def cells(identity: str, values: Any, present: list[int] | None = None) -> Cells:
    array = values if isinstance(values, np.ndarray) else np.array(values)
    if array.dtype.kind == "U":
        array = array.astype(object)
    kind = {"b": "Bool", "O": "Str"}.get(array.dtype.kind, "Number")
    point = Point(identity, identity, "rig", identity, kind, "New_York")
    return Cells(point, array, None if present is None else np.array(present, bool))


def table(*columns: Cells, first_s: int = 0, step_ns: int = SECOND_NS, zone: str = "New_York") -> Table:
    times = START_NS + first_s * SECOND_NS + np.arange(len(columns[0].values)) * step_ns
    return Table(zone, times, columns)


def lines(*tables: Table, **options: Any) -> list[str]:
    """The rows after the grid's tags and the columns, without what all times begin and end with."""
    text = batch_body(tables, **options).decode()
    assert text.endswith("\n")
    return [
        line.replace("2026-11-21T10:00:", "").replace("-05:00 New_York", "") for line in text.splitlines()[2:]
    ]


@pytest.fixture(params=["orjson", "repr"], autouse=True)
def way(request, monkeypatch):
    """Both ways to write numbers."""
    if request.param == "repr":
        monkeypatch.setattr(hisgrid, "orjson", None)


def test_a_batch_is_one_grid_with_the_ids_in_the_columns():
    first = table(cells("a", [1.5, -0.0]), cells("k", [TRUE, FALSE]), cells("s", ["x", "é"]))
    assert batch_body([first]).decode() == (
        'ver:"3.0"\n'
        "ts,v0 id:@a,v1 id:@k,v2 id:@s\n"
        '2026-11-21T10:00:00-05:00 New_York,1.5,T,"x"\n'
        '2026-11-21T10:00:01-05:00 New_York,-0.0,F,"é"\n'
    )


def test_a_single_write_has_the_id_in_the_grid_and_only_rows_with_a_sample():
    body = single_body(table(cells("p:a~1", [1.5, 2.5, NAN], [1, 0, 1]), step_ns=10**6))
    assert body.decode() == (
        'ver:"3.0" id:@p:a~1\nts,val\n'
        "2026-11-21T10:00:00-05:00 New_York,1.5\n"
        "2026-11-21T10:00:00.002-05:00 New_York,NA\n"
    )


def test_tables_follow_each_other_with_the_cells_of_other_points_empty():
    tables = [
        table(cells("a", [1.0, 2.0]), cells("b", [3.0, 4.0])),
        table(cells("c", [5]), first_s=5),
        table(cells("b", [6.0]), first_s=6),
        table(cells("c", ["x"]), cells("a", [7.0]), first_s=7),
        table(cells("c", [], None)),
    ]
    assert lines(*tables) == ["00,1.0,3.0,", "01,2.0,4.0,", "05,,,5", "06,,6.0,", '07,7.0,,"x"']


def test_without_rows_or_tables_the_grid_is_empty():
    assert batch_body([]) == b'ver:"3.0"\nempty\n'
    assert batch_body([table(cells("a", np.array([])))]) == b'ver:"3.0"\nts,v0 id:@a\n'
    assert single_body(table(cells("a", np.array([])))) == b'ver:"3.0" id:@a\nts,val\n'
    assert single_body(table(cells("a", [1.0], [0]))) == b'ver:"3.0" id:@a\nts,val\n'
    assert zinc.read(batch_body([]).decode()).rows == []


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", "uint64"])
def test_integers_of_every_width_are_exact(dtype):
    info = np.iinfo(dtype)
    columns = [cells(name, np.array([info.min, 0, info.max], dtype)) for name in "ab"]
    expected = [f"0{row},{value},{value}" for row, value in enumerate([info.min, 0, info.max])]
    assert lines(table(*columns)) == expected
    assert lines(table(*columns, cells("c", [0.5, NAN, 1.0]))) == [
        f"{line},{end}" for line, end in zip(expected, ("0.5", "NA", "1.0"), strict=True)
    ]


def test_integers_beyond_what_doubles_hold_are_exact():
    assert lines(table(cells("a", [2**53 + 1, -(2**63)]))) == [
        "00,9007199254740993",
        "01,-9223372036854775808",
    ]
    unsigned = cells("b", np.array([2**64 - 1, 0], np.uint64))
    assert lines(table(cells("a", [2**53 + 1, 1]), unsigned)) == [
        "00,9007199254740993,18446744073709551615",
        "01,1,0",
    ]


def test_a_float32_is_the_shortest_text_of_itself_among_doubles_too():
    single = cells("a", np.array([0.1, 16777217.0, 3.4028235e38], np.float32))
    assert [float(line.split(",")[1]) for line in lines(table(single))] == [0.1, 16777216.0, 3.4028235e38]
    for mixed in (
        table(single, cells("b", [0.1] * 3), cells("c", [0.2] * 3)),
        table(cells("b", [0.1] * 3), single, cells("d", single.values)),
    ):
        for line, want in zip(lines(mixed), (0.1, 16777216.0), strict=False):
            assert want in map(float, line.split(",")[1:])


def test_what_is_not_finite_becomes_na_or_is_kept():
    one = table(cells("a", [NAN, INF, -INF, 1.0]), cells("b", [1.0, NAN, 2.0, INF], [1, 1, 0, 1]))
    assert lines(one) == ["00,NA,1.0", "01,NA,NA", "02,NA,", "03,1.0,NA"]
    assert lines(one, not_finite="keep") == ["00,NaN,1.0", "01,INF,NaN", "02,-INF,", "03,1.0,INF"]
    dense = table(cells("a", [NAN, INF, -INF, 1.0]))
    assert lines(dense) == ["00,NA", "01,NA", "02,NA", "03,1.0"]
    assert lines(dense, not_finite="keep") == ["00,NaN", "01,INF", "02,-INF", "03,1.0"]
    mixed = table(cells("s", ["null"] * 2), cells("a", np.array([NAN, -INF], "f4")), cells("b", [1.0, INF]))
    assert lines(mixed, not_finite="keep") == ['00,"null",NaN,1.0', '01,"null",-INF,INF']


def test_a_cell_without_a_sample_is_empty_whatever_stands_in_it():
    absent = [0, 1, 0]
    columns = [
        cells("a", [NAN, 1.0, 9.0], absent),
        cells("b", [9, 2, 9], absent),
        cells("c", [TRUE, FALSE, TRUE], absent),
        cells("d", np.array([None, "x", "\n"], object), absent),
        cells("e", np.array([9, 0.5, 9], "f4"), absent),
    ]
    assert lines(table(*columns)) == ["00,,,,,", '01,1.0,2,F,"x",0.5', "02,,,,,"]
    assert lines(table(columns[0])) == ["00,", "01,1.0", "02,"]
    assert lines(table(columns[1])) == ["00,", "01,2", "02,"]


HOSTILE = [
    'x"\n2026-11-21T10:00:00-05:00 New_York,9',
    '",9,"',
    "],[",
    "null",
    ",null",
    "\\",
    '\\"',
    "$x ${y}",
    "\r\n\t\b\f\0\x1f\x7f\x85\u2028\u2029\ufeff",
    "\U0001f600 é 漢字 \U0010ffff",
    ">>",
    "",
]


def test_no_text_breaks_out_of_its_cell():
    body = batch_body(
        [table(cells("a", np.array(HOSTILE, object)), cells("b", [NAN] * len(HOSTILE)))]
    ).decode()
    assert len(body.splitlines()) == 2 + len(HOSTILE)
    assert [row["v0"] for row in zinc.read(body).rows] == HOSTILE
    assert body.isascii() or "é 漢字" in body


def test_halves_of_characters_are_written_as_such():
    assert lines(table(cells("a", np.array(["\ud800x"], object)))) == ['00,"\\ud800x"']


@pytest.mark.parametrize("hostile", ["", "a b", "a\n@b", "a,b", 'a "x"', "@a", "é"])
def test_no_id_breaks_out_of_its_column(hostile):
    for body in (lambda one: batch_body([one]), single_body):
        with pytest.raises(UsageError, match="is no id"):
            body(table(cells(hostile, [1.0])))


def test_no_zone_breaks_out_of_its_cell():
    with pytest.raises(UsageError):
        batch_body([table(cells("a", [1.0]), zone="New_York,1\n")])


def test_one_grid_is_of_one_zone_and_a_row_has_a_point_once():
    with pytest.raises(ValueError, match="several time zones"):
        batch_body([table(cells("a", [1.0])), table(cells("b", [1.0]), zone="UTC")])
    with pytest.raises(ValueError, match="twice"):
        batch_body([table(cells("a", [1.0]), cells("a", [2.0]))])


def test_the_size_is_guessed_well_enough_to_cut_calls_by_it():
    generator = np.random.default_rng(1)
    values = generator.normal(size=2000)
    for some in (
        table(*(cells(f"p:{number}", values) for number in range(20))),
        table(*(cells(f"p:{number}", values.round(1)) for number in range(20))),
        table(*(cells(f"p:{number}", values, (values > 1).tolist()) for number in range(20))),
        table(cells("a", (values * 1000).astype("i8")), cells("b", values > 0)),
        table(cells("a", np.array(["on", "off"] * 1000, object)), step_ns=10**6),
    ):
        assert 1 <= size_of([some]) / len(batch_body([some])) < 1.8
    assert size_of([]) < 100


# --- readers ---


def samples_of(tables: list[Table], not_finite: str) -> dict[str, list[tuple[int, Any]]]:
    """What a point is to get: its times and values in the order of the grid."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for one in tables:
        for each in one.cells:
            for row, time_ns in enumerate(one.times_ns.tolist()):
                if each.present is not None and not each.present[row]:
                    continue
                value = each.values[row]
                if not isinstance(value, str | np.bool_):
                    # the text of a float32 is to be its shortest, not that of the double
                    value = float(str(value)) if value.dtype == np.float32 else value.item()
                    finite = math.isfinite(value)
                    value = peers.plain(Number(value) if finite or not_finite == "keep" else NA)
                found.setdefault(each.point.id, []).append(
                    (time_ns // 1000, bool(value) if isinstance(value, np.bool_) else value)
                )
    return found


def samples_in(grid: Any) -> dict[str, list[tuple[int, Any]]]:
    """The same of what a reader found."""
    _, _, names, tags, rows = grid
    ids = {name: each["id"][1] for name, each in zip(names, tags, strict=True) if "id" in each}
    found: dict[str, list[tuple[int, Any]]] = {}
    for row in rows:
        _, time, zone = row.pop("ts")
        assert zone == "New_York"
        for name, value in row.items():
            found.setdefault(ids[name], []).append((time, value))
    return found


FLOATS = st.floats() | st.sampled_from([0.1, 1e16, 1e-5, 1e22, -0.0, 5e-324, 1.7976931348623157e308])
COLUMNS = {
    "f8": FLOATS,
    "f4": st.floats(width=32),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "u8": st.integers(0, 2**64 - 1),
    "i2": st.integers(-(2**15), 2**15 - 1),
    "?": st.booleans(),
    "O": st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE),
}


@st.composite
def tables(draw: st.DrawFn) -> list[Table]:
    ids = [f"p:{number}" for number in range(5)]
    several = []
    first_s = 0
    for _ in range(draw(st.integers(0, 3))):
        count = draw(st.integers(0, 4))
        columns = []
        for identity in draw(st.lists(st.sampled_from(ids), min_size=1, unique=True)):
            dtype = draw(st.sampled_from(list(COLUMNS)))
            values = np.empty(count, dtype)
            values[:] = draw(st.lists(COLUMNS[dtype], min_size=count, max_size=count))
            flags = st.lists(st.booleans(), min_size=count, max_size=count)
            columns.append(cells(identity, values, draw(st.none() | flags)))
        several.append(
            table(*columns, first_s=first_s, step_ns=draw(st.sampled_from([SECOND_NS, 10**6, 1000])))
        )
        first_s += count
    return several


@settings(max_examples=200)
@given(tables(), st.sampled_from(["na", "keep"]))
def test_our_reader_and_phable_find_the_very_samples(several, not_finite):
    body = batch_body(several, not_finite=not_finite).decode()
    wanted = samples_of(several, not_finite)
    assert samples_in(peers.plain(zinc.read(body))) == wanted
    assert samples_in(peers.by_phable(body)) == wanted


@given(tables(), st.sampled_from(["na", "keep"]))
def test_single_writes_have_the_same_samples(several, not_finite):
    found: dict[str, list[tuple[int, Any]]] = {}
    for one in several:
        for each in one.cells:
            body = single_body(one.only({each.point.id}), not_finite=not_finite).decode()
            grid = zinc.read(body)
            assert grid.meta == {"id": Ref(each.point.id)}
            rows = peers.plain(grid)[-1]
            if rows:
                found.setdefault(each.point.id, []).extend((row["ts"][1], row["val"]) for row in rows)
    assert found == samples_of(several, not_finite)


@settings(max_examples=30)
@given(tables(), st.sampled_from(["na", "keep"]))
def test_hszinc_finds_the_very_samples(several, not_finite):
    body = batch_body(several, not_finite=not_finite).decode()
    assert samples_in(peers.by_hszinc(body)) == samples_of(several, not_finite)


def random_tables(seed: int) -> list[Table]:
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 6))
    bits = generator.integers(0, 2**63, (2, count)).astype(np.uint64)
    doubles = np.array([struct.unpack("<d", struct.pack("<Q", each))[0] for each in bits[0].tolist()])
    texts = np.array([HOSTILE[each % len(HOSTILE)] for each in bits[1].tolist()], object)
    flags = (generator.random(count) < 0.5).tolist()
    return [
        table(cells("a", doubles), cells("b", texts, flags), cells("c", generator.random(count) < 0.5)),
        table(cells("c", bits[1].astype("i8"), flags), cells("d", doubles.round(2)), first_s=10),
    ]


def test_haystack_core_finds_the_very_samples():
    cases = [(random_tables(seed), "na" if seed % 2 else "keep") for seed in range(100)]
    bodies = [batch_body(several, not_finite=not_finite).decode() for several, not_finite in cases]
    for grid, (several, not_finite) in zip(peers.by_haystack_core(bodies), cases, strict=True):
        assert samples_in(grid) == samples_of(several, not_finite)
