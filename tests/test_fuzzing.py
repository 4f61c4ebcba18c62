"""What fuzzing keeps, through its targets: every seed, what is near one, and any bytes at all."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from avro_data import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speeddata.avro import codec, schema
from speeddata.batch import Batch
from speeddata.errors import DataError

sys.path.append(str(Path(__file__).parent / "fuzz"))

from targets import SEEDS, TARGETS, seeds
from words import WORDS

LONGEST_S = 10.0  # of CPU: what takes longer hangs
ALL_SEEDS_BYTES = 300_000

each_target = pytest.mark.parametrize("target", TARGETS)


@each_target
def test_every_input_that_was_kept_passes(target):
    kept = seeds(target)
    assert kept, f"python tests/fuzz/run.py {target} --seconds 60, then again with --keep"
    for path in kept:
        began = time.process_time()
        TARGETS[target](path.read_bytes())
        assert time.process_time() - began < LONGEST_S, path


def test_seeds_are_small_and_each_has_its_target():
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in SEEDS.rglob("*") if path.is_file()) < ALL_SEEDS_BYTES


@each_target
@settings(max_examples=40, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
@given(st.data())
def test_what_is_near_a_kept_input_passes_and_so_do_any_bytes(target, data):
    inputs = [path.read_bytes() for path in seeds(target)]
    word = st.sampled_from(WORDS.get(target, (b"",)))
    near = st.sampled_from(inputs).flatmap(damaged)
    joined = st.lists(near | word | st.binary(max_size=20), min_size=1, max_size=4).map(b"".join)
    TARGETS[target](data.draw(near | joined | st.binary(max_size=200)))


# -- schemas as a network might send them -------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "A", "time", "r", "x.y", "", "null", "é", "0", "a\x1b[2J"])
ODD = st.none() | st.booleans() | st.integers(-2, 70_000) | st.floats() | st.text(max_size=3) | st.just([])


def _complex(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    field = st.fixed_dictionaries(
        {"name": NAMES, "type": inner},
        optional={"default": ODD, "unit": ODD, "doc": ODD, "logicalType": ODD},
    )
    return st.one_of(
        st.lists(inner, max_size=4),
        st.fixed_dictionaries({"type": st.just("fixed"), "name": NAMES, "size": ODD}),
        st.fixed_dictionaries(
            {"type": st.just("enum"), "name": NAMES, "symbols": st.lists(NAMES, max_size=4)}
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"length": ODD}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries({"type": inner, "logicalType": ODD}),
        st.fixed_dictionaries(
            {"type": st.just("record"), "name": NAMES, "fields": st.lists(field, max_size=4)},
            optional={"namespace": NAMES | ODD, "abscissa": NAMES | ODD},
        ),
    )


PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string"])
TREES = st.recursive(PRIMITIVES | NAMES | ODD, _complex, max_leaves=12)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.lists(st.binary(max_size=20), max_size=3))
def test_any_schema_is_refused_in_one_line_or_its_codec_works(tree, pieces):
    record = {
        "type": "record",
        "name": "top",
        "fields": [{"name": "t", "type": "long"}, {"name": "v", "type": tree}],
    }
    coded = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    for each in (tree, record):
        TARGETS["schema"](json.dumps(each).encode("utf-8", "surrogatepass") + b"\n\n" + coded)


def record_of(fields: list[tuple[str, object]], name: str = "r") -> dict[str, object]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": each} for key, each in fields]}


def doubling() -> object:
    """Each record twice in the next: a text of 1 kB unfolds to thousands of fields."""
    fields: list[tuple[str, object]] = [("x0", record_of([("a", "long"), ("b", "string")], "A0"))]
    for level in range(1, 10):
        before = f"A{level - 1}"
        fields.append((f"x{level}", record_of([("a", before), ("b", before)], f"A{level}")))
    return record_of(fields)


def optional_depths() -> object:
    inner: object = record_of(
        [("a", ["null", "long"]), ("b", ["null", "string"]), ("c", ["int", "string"])], "D"
    )
    for name in ("C", "B", "A"):
        inner = record_of([("a", ["null", inner]), ("b", ["null", "D"]), ("c", ["D", "string"])], name)
    return record_of([("a", inner), *((f"x{number}", ["null", "A"]) for number in range(60))])


KINDS = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
LARGE = {
    "signals": record_of([(f"f{number}", "int") for number in range(1900)]),
    "doubling": doubling(),
    "optional depths": optional_depths(),
    "wide unions, often": record_of(
        [("u", record_of([("a", [*KINDS, {"type": "map", "values": "long"}])], "U"))]
        + [(f"b{number}", ["null", "U"]) for number in range(600)]
    ),
    "a union of hundreds": record_of(
        [("e", [{"type": "fixed", "name": f"N{size}", "size": size} for size in range(600)])]
        + [(f"b{number}", [f"N{size}" for size in range(600)]) for number in range(6)]
    ),
    "symbols": record_of(
        [("e", {"type": "enum", "name": "E", "symbols": [f"s{number}" for number in range(6000)]})]
        + [(f"x{number}", "E") for number in range(300)]
    ),
    "huge fixed": record_of(
        [("a", {"type": "fixed", "name": "F", "size": 65_507})]
        + [(f"b{number}", "F") for number in range(1500)]
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_schemas_take_seconds_at_most_and_little_memory(name):
    text = json.dumps(LARGE[name], separators=(",", ":"))
    began = time.process_time()
    tracemalloc.start()
    try:
        each = schema.parse(text)
        empty = np.arange(0, 300 * 301, 300)
        codec.valid(each, bytes(300) * 300, empty)
        with pytest.raises(DataError):
            codec.columns(Batch(each, bytes(7) * 100, 5000))
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < LONGEST_S
