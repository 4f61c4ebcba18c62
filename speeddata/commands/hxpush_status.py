"""`speeddata hxpush status`: how far each server is behind, and what it refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speeddata import options
from speeddata.commands import hxpush_options
from speeddata.errors import DataError, HostError, UsageError
from speeddata.legible import json_line, printable
from speeddata.table import lines, size
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.haystack.positions import Entry, Saved

_HEADING = ("server", "channel", "sent up to", "behind", "bytes", "file", "position")

log = logging.getLogger("speeddata")


@click.command("status")
@hxpush_options.state
@options.as_json
def command(state: str | None, as_json: bool) -> None:
    """Tell, of each server that was written to from here, up to where, how far that is behind, and rejects.

    `behind` is the time from the newest sample that was sent to the newest that is recorded.

    \b
    Examples:
        speeddata hxpush status
        speeddata hxpush status --json | jq -r 'select(.behind_s > 3600) | .channel'
    """
    from speeddata.haystack import positions, setaside

    home = hxpush_options.home(state)
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    for path in sorted(home.glob("*.json")):
        saved = positions.load(path)
        if saved is None:
            continue
        rows += _rows(saved)
        aside: dict[tuple[str, str, str], int] = {}
        for line in setaside.entries(path.with_name(f"{path.stem}.rejects.jsonl")):
            key = (f"{line.channel}.{line.signal}", line.point, line.reason)
            aside[key] = aside.get(key, 0) + len(line.samples)
        rejects += [
            {"server": saved.target, "signal": key[0], "point": key[1], "reason": key[2], "rejects": count}
            for key, count in aside.items()
        ]
    if as_json:
        for row in (*rows, *rejects):
            click.echo(json_line(row))
        return
    if not rows and not rejects:
        log.info("%s: nothing was sent from here", home)
    if rows:
        for text in lines(_HEADING, [_cells(row) for row in rows], right=("behind", "bytes", "position")):
            click.echo(text)
    if rejects:
        click.echo("\nset aside:" if rows else "set aside:")
        cells = [[printable(str(each)) for each in row.values()] for row in rejects]
        for text in lines(("server", "signal", "point", "reason", "samples"), cells, right=("samples",)):
            click.echo(text)


def _rows(saved: Saved) -> Iterator[dict[str, Any]]:
    """The newest place of each channel of each directory."""
    for known in saved.files.values():
        newest: dict[Path, Entry] = {}
        for entry in known.values():
            parent = Path(entry.path).parent
            if parent not in newest or Path(newest[parent].path).name < Path(entry.path).name:
                newest[parent] = entry
        for entry in newest.values():
            yield {"server": saved.target, "channel": entry.channel, **_behind(entry)}


def _behind(entry: Entry) -> dict[str, Any]:
    from speeddata.recording import catalogue, listing

    path = Path(entry.path)
    order = catalogue.recording_order(path.name)
    later: list[Path] = []
    behind_bytes, end_ns = 0, None
    try:
        files = listing.listing([path.parent]).get(entry.channel, ())
        later = [file for file in files if catalogue.recording_order(file.name) >= order]
        behind_bytes = sum(file.stat().st_size for file in later)
        if path in later:
            behind_bytes -= max(entry.block, entry.size or 0)
        end_ns = listing.end_ns(later) if later else None
    except (DataError, HostError, UsageError, OSError) as exc:
        log.warning("%s: %s", entry.channel, exc)
    behind_s = None
    if end_ns is not None and entry.time_ns is not None:
        behind_s = max(0, end_ns - entry.time_ns) / 1e9
    return {
        "sent_up_to": None if entry.time_ns is None else iso_utc(entry.time_ns),
        "behind_s": behind_s,
        "behind_bytes": max(0, behind_bytes),
        "file": entry.path,
        "position": f"{entry.block}:{entry.datum}",
    }


def _cells(row: dict[str, Any]) -> list[str]:
    behind = "-" if row["behind_s"] is None else hxpush_options.ago(row["behind_s"])
    up_to = "-" if row["sent_up_to"] is None else row["sent_up_to"][:23] + "Z"
    file = Path(row["file"]).name
    told = [row["server"], row["channel"], up_to, behind, size(row["behind_bytes"]), file, row["position"]]
    return [printable(cell) for cell in told]
