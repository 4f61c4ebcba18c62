"""What is made once for each schema, and kept while there is room: anybody may announce endless schemas."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from speeddata.avro.schema import Schema

MOST_SCHEMAS = 512
MOST_TYPES = 1 << 18  # of all of them together; a type makes 500 bytes of what walks over it, at the worst

Made = TypeVar("Made")


def prepared(make: Callable[[Schema], Made]) -> Callable[[Schema], Made]:
    """*make*, which is not asked again for a schema that it was asked for lately.

    Not by `functools.lru_cache`, which counts schemas: one that is made to be large makes tens of megabytes.
    The one made first goes first, so that asking again costs no more than a look.
    """
    kept: dict[Schema, Made] = {}
    lock = threading.Lock()
    types = 0

    @wraps(make)
    def made(schema: Schema) -> Made:
        nonlocal types
        try:
            return kept[schema]
        except KeyError:
            pass
        found = make(schema)
        with lock:
            if schema not in kept:
                types += schema.types
            kept[schema] = found
            while len(kept) > 1 and (len(kept) > MOST_SCHEMAS or types > MOST_TYPES):
                oldest = next(iter(kept))
                types -= oldest.types
                del kept[oldest]
        return found

    return made
