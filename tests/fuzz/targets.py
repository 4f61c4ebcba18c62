"""The fuzz targets by name. A target takes bytes and returns; an exception is a finding, and so is a hang."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import avro_targets
import file_targets
import wire_targets

SEEDS = Path(__file__).parent / "seeds"

TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": avro_targets.a_container,
    "header": avro_targets.a_header,
    "index": avro_targets.an_index,
    "datums": avro_targets.datums,
    "schema": avro_targets.a_schema,
    "announcement": wire_targets.announcements,
    "trains": wire_targets.trains,
    "zinc": wire_targets.zinc_text,
    "challenges": wire_targets.challenges,
    "messages": wire_targets.messages,
    "lines": wire_targets.lines_in,
    "ours": file_targets.our_lines,
    "files": file_targets.our_files,
    "rows": file_targets.some_rows,
    "words": file_targets.words,
    "settings": file_targets.settings_text,
    "set": file_targets.a_set,
}


def seeds(target: str) -> list[Path]:
    """The inputs that are kept for *target*, in order of their names."""
    return sorted((SEEDS / target).iterdir()) if (SEEDS / target).is_dir() else []
