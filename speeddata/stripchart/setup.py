"""What a stripchart is opened with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path

from speeddata.chart.canvas import Charset
from speeddata.chart.layouts import Layout
from speeddata.interrupts import Stop
from speeddata.stripchart.backscroll import Archived
from speeddata.stripchart.channels import Watched
from speeddata.stripchart.marking import Kept
from speeddata.stripchart.notes import Notes

WINDOW_NS = 30 * 10**9


@dataclass(frozen=True)
class Setup:
    """What is watched, and how.

    Attributes:
        watch: where news comes from.
        stop: ends the stripchart when asked.
        archive: where is looked up what left memory; None: nowhere.
        archives: the same for channels of a SOURCE that is a recording itself, by that SOURCE.
        marks: where marks are kept; None: nowhere.
        layout: pages that were written down.
        settings: the file that a page is saved in.
        signals: globs; only such signals are shown. None given: all.
        window_ns: how long the window is at first.
        local: the zone that is not UTC.
        utc: whether times are told in UTC at first.
        verbose: whether figures of the drawing are told.
        charset: of the charts; None: as the terminal seems to be.
        notes: what is to be told of the rooms below.
        pictures: the directory that SVGs are saved in.
        clock: nanoseconds since 1970.
    """

    watch: Watched
    stop: Stop = field(default_factory=Stop)
    archive: Archived | None = None
    archives: Mapping[str, Archived] = field(default_factory=dict)
    marks: Kept | None = None
    layout: Layout = field(default_factory=Layout)
    settings: Path = Path("speeddata.toml")
    signals: Sequence[str] = ()
    window_ns: int = WINDOW_NS
    local: tzinfo = UTC
    utc: bool = False
    verbose: bool = False
    charset: Charset | None = None
    notes: Notes = field(default_factory=Notes)
    pictures: Path = Path(".")
    clock: Callable[[], int] = time.time_ns
