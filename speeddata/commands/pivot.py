"""`speeddata pivot`: rows to columns."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from speeddata import options, report
from speeddata.errors import DataError, HostError, Interrupted, PartlyDone, UsageError

if TYPE_CHECKING:
    from speeddata.avro.schema import Schema
    from speeddata.batch import Batch
    from speeddata.chart.marks import Mark
    from speeddata.cutting import Range
    from speeddata.pivoting import Made
    from speeddata.recording.blockindex import Entry
    from speeddata.recording.reading import Choice

_REDRAW_S = 0.2
_BAR = 30  # characters
_HDF5 = b"\x89HDF\r\n\x1a\n"  # HDF5 File Format Specification, III.A. "Disk Format: Level 0A"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SLAB_BYTES = 32 << 20  # more than is decoded together, and the most that glibc keeps

log = logging.getLogger("speeddata")


@click.command()
@click.argument("source", nargs=-1)
@options.output.but(
    required=True, help="The set to write; strftime's % signs take the end of the range, UTC."
)
@options.since
@options.until
@options.last
@click.option("--mark", metavar="NAME", help="What the stripchart marked in the recording by that name.")
@options.signal
@options.factor.but(default=1)
@options.method
@click.option("--sort", is_flag=True, help="Put the samples in the order of the abscissa.")
@options.tag
@options.compress
@options.duration
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.decimated
@options.interface.but(
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
def command(
    source: Sequence[str],
    output: str,
    since: str | None,
    until: str | None,
    last: str | None,
    mark: str | None,
    signals: Sequence[str],
    factor: int,
    method: str,
    sort: bool,
    tags: Sequence[tuple[str, str]],
    compress: str,
    duration_ns: int | None,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    decimated: bool,
    interface: Sequence[str],
) -> None:
    """Turn channels into one HDF5 set: a group for each channel, a dataset for each signal.

    SOURCE, one or more, is a file or a directory, told by a / in it or by .avro at its end; a live channel by
    name; an ADDR:PORT where datums arrive; or - for a container on standard input. Files of one channel make
    one group. Live channels are taken until -d is over or Ctrl-C.

    A moment is inside the range from --since on, and before --until. Samples stay in the order they were
    recorded, unless --sort. The set appears under its name when it is whole. --mark takes the range from
    marks.jsonl in the directory that is SOURCE, or in the one above it.

    \b
    Examples:
        speeddata pivot data/ --since -10m -o 'sets/%Y%m%dT%H%M.h5' --tag run=42
        speeddata pivot data/rig/ --last 1h -S 'sine*' -n 100 -m minmax -o slow.h5
        speeddata pivot rig engine -d 60 -o minute.h5
        speeddata pivot data/ --mark mark-1 -o spike.h5
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy starts more, which spin for nothing to do
    from speeddata import columnar, cutting, h5file, pivoting, sources, within
    from speeddata.interrupts import watch
    from speeddata.recording import listing

    begun_ns = time.time_ns()
    _keep_freed_memory()
    named = list(source) or [sources.standard_input()]
    options.refuse_of_all_recordings(named)
    if options.given("duration_ns") and all(map(sources.is_file, named)):
        what = "of files would be left out what is not read by then"
        raise UsageError(what, where="--duration", mend="cut by time: --since, --until or --last")
    wanted = sources.Wanted(
        schema=schema.read(time_unit) if schema else None,
        time_unit=time_unit,
        on=interface,
        decimated=decimated,
        duration_ns=duration_ns,
    )
    marked = None if mark is None else _marked(mark, named, since, until, last)
    span = cutting.range_of(since, until, last, begun_ns)
    if marked is not None:
        span = cutting.Range(marked.begin_ns, marked.end_ns)
    recorded_in = [name for name in named if sources.is_file(name)]
    files = listing.listing(map(Path, recorded_in))
    if recorded_in and not files:
        raise DataError("holds no recording", where=", ".join(recorded_in))
    span = within.ended(span, named, files, time_unit)
    path = _path(output, span, begun_ns)
    progress = _Progress(sum(file.stat().st_size for paths in files.values() for file in paths))
    wish = pivoting.Wish(span, signals, factor, method, sort)
    with (
        watch() as stop,
        sources.channels(named, wanted, stop, choice=progress.watching(cutting.choice(span))) as channels,
        h5file.SetFile(path, created_ns=begun_ns, compression=compress, attributes=dict(tags)) as into,
    ):
        if signals:
            recorded = (each for paths in files.values() for each in listing.schemas(paths, time_unit))
            live = (each.schema for each in channels.live if each.schema is not None)
            columnar.refuse_unknown([*recorded, *live], signals)
        made = pivoting.pivot(channels, into, wish, stop, seen=progress.see)
        if stop.status and (files or not any(each.samples for each in made)):
            raise Interrupted(stop.status)  # a live channel ends that way, once it has begun
        into.note(pivoting.noted(span, made) | ({} if marked is None else {"mark": marked.name}))
    report.clear_status()
    _tell(path, made, progress)
    if shortfall := channels.shortfall():
        raise shortfall
    if not any(each.samples for each in made):
        raise PartlyDone("no data in the range, and none in the set", where=str(path))


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next megabytes to decode.

    glibc gives it back to the system, which then clears the same pages again and again: as much work as to
    fill them. What is in use at the same time is not more for it.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another C library has none
        mallopt(_M_MMAP_THRESHOLD, _SLAB_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 8 * _SLAB_BYTES)


def _marked(name: str, named: Sequence[str], *others: str | None) -> Mark:
    """The mark *name* of the recordings that are named."""
    from speeddata import sources
    from speeddata.recording.markfile import marked

    if any(other is not None for other in others):
        raise UsageError("means its own range", where="--mark", mend="leave out --since, --until and --last")
    for each in named:
        if not sources.is_file(each):
            mend = f"for the directory write {each}/" if Path(each).is_dir() else "name its directory"
            raise UsageError(f"only a recording has marks, and {each} is none", where="--mark", mend=mend)
    paths = [Path(each) for each in named]
    return marked([path if path.is_dir() else path.parent for path in paths], name)


def _path(output: str, span: Range, now_ns: int) -> Path:
    """-o with the time of --until in it, and its directory made."""
    until_ns = now_ns if span.until_ns is None else span.until_ns
    text = output
    if "%" in output:
        try:
            text = datetime.fromtimestamp(until_ns // 10**9, UTC).strftime(output)
        except (ValueError, OverflowError, OSError) as exc:
            raise UsageError(f"'{output}' cannot take the time: {exc}", where="--output") from None
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise HostError(f"cannot be made: {exc.strerror}", where=str(path.parent)) from exc
    _keep_what_is_no_set(path)
    return path


def _keep_what_is_no_set(path: Path) -> None:
    """Raises:
    UsageError: something else has the name, a recording for instance.
    HostError: a directory has it.
    """
    if os.path.isdir(path):
        raise HostError("cannot write the set: it is a directory", where=str(path), mend="name a file in it")
    try:
        with open(path, "rb") as file:
            begin = file.read(len(_HDF5))
    except OSError:  # not there, or not ours to read, which is told when it is to be replaced
        return
    if begin and begin != _HDF5:
        raise UsageError("is no HDF5 set, and would be replaced", where=str(path), mend="choose another name")


class _Progress:
    """How far it is: bytes read of those that have to be."""

    def __init__(self, total: int) -> None:
        self.read = 0
        self._total, self._begun, self._shown = total, time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def watching(self, choice: Choice | None) -> Choice | None:
        """*choice*, and what it leaves out need not be waited for."""
        if choice is None:
            return None

        def watched(schema: Schema, block: Entry) -> bool:
            chosen = choice(schema, block)
            if not chosen:
                self._total -= block.size
            return chosen

        return watched

    def see(self, batch: Batch) -> None:
        self.read += len(batch.data)
        now = time.monotonic()
        if now - self._shown < _REDRAW_S:
            return
        self._shown = now
        rate = self.read / max(self.seconds, 1e-3)
        told = f"{self.read / 1e6:,.0f} MB, {rate / 1e6:,.0f} MB/s"
        if self._total > self.read:
            done = self.read / self._total
            bar = ("#" * round(_BAR * done)).ljust(_BAR, ".")
            told = f"[{bar}] {done:4.0%}  {told}, {(self._total - self.read) / rate:.0f} s left"
        report.status([told])


def _tell(path: Path, made: Sequence[Made], progress: _Progress) -> None:
    groups = [each for each in made if each.samples]
    samples = sum(each.samples for each in groups)
    channels = "1 channel" if len(groups) == 1 else f"{len(groups)} channels"
    log.info("%s: %s, %s samples, %.1f s", path, channels, f"{samples:,}", progress.seconds)
