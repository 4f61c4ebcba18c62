"""What is made for schemas is kept by how much they unfold to, whoever sends how many of them."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from speeddata.avro import boundaries, prepared, shapes
from speeddata.avro.schema import parse
from speeddata.avro.skipper import skipper


def schema_of(number, fields=1):
    names = [{"name": f"f{field}", "type": "long"} for field in range(fields)]
    return parse(json.dumps({"type": "record", "name": "rig", "doc": str(number), "fields": names}))


def hostile(number):
    """A schema of 10 kB whose unions unfold to 6,000 types; 60 kB could be ten times as many."""
    sizes = [{"type": "fixed", "name": f"F{size}", "size": 1} for size in range(250)]
    every = {"type": "record", "name": "U", "fields": [{"name": "x", "type": [f"F{n}" for n in range(250)]}]}
    fields = [{"name": "first", "type": sizes}, {"name": "second", "type": every}]
    fields += [{"name": f"r{use}", "type": "U"} for use in range(22)]
    return parse(json.dumps({"type": "record", "name": "rig", "doc": str(number), "fields": fields}))


@pytest.fixture
def asked():
    return []


@pytest.fixture
def made(asked):
    @prepared.prepared
    def made(schema):
        asked.append(schema.text)
        return len(asked)

    return made


def test_what_a_schema_unfolds_to_is_counted():
    assert schema_of(1, fields=3).types == 4
    assert hostile(1).types > 6_000


def test_what_was_made_is_not_made_again(made, asked):
    assert [made(schema_of(number)) for number in (1, 2, 1, 2, 1)] == [1, 2, 1, 2, 1]
    assert len(asked) == 2


def test_of_small_schemas_as_many_are_kept_as_there_are_channels_twice(made, asked):
    schemas = [schema_of(number) for number in range(513)]
    for schema in [*schemas[:512], *schemas[:512]]:
        made(schema)
    assert len(asked) == 512
    made(schemas[512])  # the one made first makes room
    assert [made(schema) for schema in schemas[1:]] == list(range(2, 514))
    assert made(schemas[0]) == 514


def test_of_large_schemas_few_are_kept_but_always_the_last(made, asked, monkeypatch):
    monkeypatch.setattr(prepared, "MOST_TYPES", 25)
    for number in (0, 1, 0, 1, 2, 2):
        made(schema_of(number, fields=9))  # ten types each: two have room
    assert len(asked) == 3
    made(schema_of(0, fields=9))
    assert len(asked) == 4
    huge = schema_of(3, fields=99)
    assert made(huge) == made(huge) == 5


def test_endless_hostile_schemas_take_no_more_memory_than_a_few(monkeypatch):
    monkeypatch.setattr(prepared, "MOST_TYPES", 15_000)

    def prepare(number):
        schema = hostile(number)
        for make in (skipper, boundaries._mover, shapes._looks):
            make(schema)

    tracemalloc.start()
    try:
        for number in range(3):
            prepare(number)
        few = tracemalloc.get_traced_memory()[0]
        for number in range(3, 8):
            prepare(number)
        assert tracemalloc.get_traced_memory()[0] < few * 1.3
    finally:
        tracemalloc.stop()
