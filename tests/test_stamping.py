"""The time of sending, wherever in a datum the abscissa stands, and no other byte touched."""

from __future__ import annotations

import io
import itertools
import json

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.batch import Batch
from speeddata.errors import UsageError
from speeddata.sending.stamping import Stamper, ticks

FIELDS = {
    "time": {"name": "time", "type": "long", "unit": "ns"},
    "text": {"name": "text", "type": "string"},
    "maybe": {"name": "maybe", "type": ["null", "double"]},
    "list": {"name": "list", "type": {"type": "array", "items": "int"}},
}


@given(
    st.permutations(list(FIELDS)),
    st.lists(
        st.fixed_dictionaries(
            {
                "time": st.integers(-(2**63), 2**63 - 1),
                "text": st.text(max_size=9),
                "maybe": st.none() | st.floats(allow_nan=False),
                "list": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
            }
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 2**62),
)
def test_only_the_abscissa_changes(order, rows, start_ns):
    plain = {"type": "record", "name": "r", "fields": [FIELDS[name] for name in order]}
    parsed = fastavro.parse_schema(plain)
    datums = []
    for row in rows:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, row)
        datums.append(stream.getvalue())
    clock = itertools.count(start_ns, 1000)
    offsets = np.cumsum([0, *map(len, datums)]).astype(np.int64)
    batch = Batch(schema.parse(json.dumps(plain)), b"".join(datums), len(datums), offsets)
    stamped = Stamper(batch.schema, lambda: next(clock)).stamp(batch)
    bounds = stamped.offsets.tolist()
    assert (stamped.count, len(bounds), bounds[-1]) == (len(rows), len(rows) + 1, len(stamped.data))
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        stream = io.BytesIO(stamped.data[start:end])
        got = fastavro.schemaless_reader(stream, parsed, None)
        assert stream.read() == b""
        assert got == {**rows[number], "time": start_ns + 1000 * number}


@pytest.mark.parametrize(
    ("field", "now"),
    [
        ({"type": "long", "unit": "us"}, 1_500_000_001_234_567),
        ({"type": {"type": "long", "logicalType": "timestamp-millis"}}, 1_500_000_001_234),
        ({"type": "int", "unit": "s"}, 1_500_000_001),
        ({"type": "double", "unit": "s"}, 1_500_000_001.2345679),
    ],
)
def test_the_clock_ticks_in_the_unit_of_the_abscissa(field, now):
    text = json.dumps({"type": "record", "name": "r", "fields": [{"name": "time", **field}]})
    assert ticks(schema.parse(text), lambda: 1_500_000_001_234_567_890)() == now


@pytest.mark.parametrize(
    "field", [{"type": "long"}, {"type": "string", "unit": "ns"}, {"type": ["null", "long"]}]
)
def test_an_abscissa_that_is_no_time_cannot_be_stamped(field):
    text = json.dumps({"type": "record", "name": "r", "fields": [{"name": "time", **field}]})
    with pytest.raises(UsageError, match="'time' is no time with a known unit"):
        Stamper(schema.parse(text), lambda: 0)
