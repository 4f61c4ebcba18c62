"""`speeddata hxpush SOURCE`: every sample into the right point of a Haystack server."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import click

from speeddata import options, report
from speeddata.commands import hxpush_options
from speeddata.errors import Interrupted, PartlyDone, UsageError
from speeddata.legible import json_line, printable
from speeddata.table import lines, many
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.cutting import Range
    from speeddata.haystack.running import Run, Summary

_RETRY_S = 60.0  # where an end is awaited, as by cron
_STOP_S = 2.0  # for a call under way when a signal comes: the next run sends what is recorded again
_STOP_LIVE_S = 7.0  # nobody sends what is live again
_LEAST_BODY = 1000  # bytes of a call: less is of little use
_PROBLEMS_TOLD = 10
_SHOWN_BYTES = 2000  # of the first call of a rehearsal
_REDRAW_S = 0.5
_STAYS = " (samples stay in the recording; once there is one, send them with --since)"
_COUNTS = ("nulls", "merged", "unchanged", "out_of_range", "left_out", "not_finite", "rounded")

log = logging.getLogger("speeddata")


@click.command("push")
@click.argument("source", nargs=-1)
@hxpush_options.server
@hxpush_options.map_file
@click.option("--once", is_flag=True, help="For cron: where another run is at it, end quietly.")
@options.follow
@options.since.but(help="Send again from then on, whatever was sent: RFC 3339, now, or -10m.")
@options.until
@options.last
@click.option("--dry-run", is_flag=True, help="Say what would be written, and show the first grid of it.")
@click.option("--verify", is_flag=True, help="Write nothing: read back what was sent, and compare.")
@click.option(
    "--resample",
    type=click.Choice(("last", "mean", "min", "max")),
    default="last",
    help="What is sent of samples that fall on one moment of their point.",
)
@click.option(
    "--nan",
    type=click.Choice(("na", "skip", "keep")),
    default="na",
    help="NaN and infinities: as NA, not at all, or as they are.",
)
@click.option("--flush", "flush_ns", type=options.DURATION, default="5s", help="Write live data this often.")
@click.option(
    "--retry-for",
    "retry_ns",
    type=options.DURATION,
    help="How long to try while the server is away.  [default: 60s; for ever with --follow and live]",
)
@click.option(
    "--max-body", type=options.SIZE, default="900000", help="Of a call, in bytes; proxies often refuse 1 MB."
)
@click.option("--eval-all", is_flag=True, help="Write by SkySpark's evalAll, for servers before 3.1.8.")
@hxpush_options.state
@options.duration
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.decimated
@options.interface.but(
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
@options.as_json
def command(
    source: Sequence[str],
    url: str | None,
    user: str | None,
    password_file: str | None,
    ca_file: str | None,
    allow_cleartext: bool,
    map: str | None,
    once: bool,
    follow: bool,
    since: str | None,
    until: str | None,
    last: str | None,
    dry_run: bool,
    verify: bool,
    resample: Literal["last", "mean", "min", "max"],
    nan: Literal["na", "skip", "keep"],
    flush_ns: int,
    retry_ns: int | None,
    max_body: int,
    eval_all: bool,
    state: str | None,
    duration_ns: int | None,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    decimated: bool,
    interface: Sequence[str],
    as_json: bool,
) -> None:
    """Write every sample of SOURCE into its point on a Project Haystack server, in one call for many points.

    SOURCE, one or more, is a recording (a file or a directory, told by a / in it or by .avro at its end), a
    live channel by name, an ADDR:PORT, or - for a container on standard input. Of a recording, what was sent
    is remembered: the next run goes on behind it, also after a crash or an outage. With --since, --until or
    --last a range is sent again, which does no harm.

    The password comes from --password-file, SPEEDDATA_HX_PASSWORD, the systemd credential hxpush, or a
    question on the terminal. A point that the server refuses is set aside for the run, and its samples are
    kept in a file beside the positions; the rest goes on, and the status is 5.

    \b
    Examples:
        speeddata hxpush data/ --url https://host/api/demo --user su --map map.toml
        */5 * * * * speeddata hxpush data/ --url https://host/api/demo --user su --once -q
        speeddata hxpush data/ --follow --url https://host/api/demo --user su
        speeddata hxpush data/ --last 1h --verify --url https://host/api/demo --user su
    """
    from speeddata import cutting, sources
    from speeddata.haystack import positions
    from speeddata.haystack.running import Run, Wish
    from speeddata.haystack.setaside import SetAside
    from speeddata.interrupts import watch

    begun = time.monotonic()
    named = list(source) or [sources.standard_input()]
    options.refuse_of_all_recordings(named)
    recorded = all(sources.is_file(each) for each in named)
    span = cutting.range_of(since, until, last, time.time_ns())
    looks = verify or dry_run  # writes nothing, here or there, so it may look on while another run writes
    _refuse_together(recorded, follow, span, verify=verify, dry_run=dry_run)
    if max_body < _LEAST_BODY:
        raise UsageError(f"{max_body} bytes", where="--max-body", mend=f"give at least {_LEAST_BODY}")
    target = hxpush_options.target(url, user, ca_file, allow_cleartext)
    mapping = hxpush_options.mapping(map)
    password = hxpush_options.password(password_file, target)
    wanted = sources.Wanted(
        schema=schema.read(time_unit) if schema else None,
        time_unit=time_unit,
        on=interface,
        decimated=decimated,
        follow=follow,
        duration_ns=duration_ns,
    )
    retry_s = retry_ns / 1e9 if retry_ns is not None else _RETRY_S if recorded and not follow else None
    home = hxpush_options.home(state)
    with ExitStack() as stack:
        stop = stack.enter_context(watch())
        try:
            path = home / f"{target.key}.json"
            kept = stack.enter_context(positions.State(path, target=target.url, lock=not looks))
        except positions.Busy:
            if not once:
                raise
            log.info("%s: another run is at it", target.origin)
            return
        stop_s = _STOP_S if recorded else _STOP_LIVE_S
        client = stack.enter_context(
            hxpush_options.client(target, password, stop, retry_s=retry_s, stop_s=stop_s)
        )
        aside = SetAside(home / f"{target.key}.rejects.jsonl")
        wish = Wish(nan, resample)
        try:
            with hxpush_options.interruptible(stop):
                run = Run(
                    *(named, wanted, span, stop),
                    client=client,
                    state=kept,
                    aside=aside,
                    mapping=mapping,
                    wish=wish,
                )
        except Interrupted:
            if recorded and not follow:
                raise
            return  # what goes on for ever was stopped, and had not begun
        _tell_problems(run)
        if verify:
            with hxpush_options.interruptible(stop):
                _verify(run, as_json=as_json)
            return
        if dry_run:
            _show_points(run, as_json=as_json)
        progress = _Progress(
            run.total_bytes if recorded and not follow else 0,
            begun,
            each=as_json and (follow or not recorded),
        )
        summary = run.push(
            flush_s=flush_ns / 1e9,
            seen=progress.see,
            rehearse=dry_run,
            eval_all=eval_all,
            max_bytes=max_body,
        )
    report.clear_status()
    if dry_run:
        _show_first(summary, as_json=as_json)
        return
    _tell_losses(summary)
    if as_json:
        click.echo(json_line(_as_json(summary, progress.seconds, client.calls)))
    elif log.isEnabledFor(logging.WARNING):  # not with --quiet
        click.echo(_in_words(summary, target.origin, progress.seconds))
    if run.interrupted:
        raise Interrupted(run.interrupted)
    missing = list(run.shortfalls)
    if summary.refused:
        missing.append(f"{many(len(summary.refused), 'point')} refused")
    if summary.set_aside:
        missing.append(f"{many(summary.set_aside, 'sample')} set aside in {aside.path}")
    if fatal := sum(problem.fatal for problem in run.problems):
        missing.append(f"{many(fatal, 'signal')} without a point that fits{_STAYS * recorded}")
    if missing:
        raise PartlyDone(", ".join(missing), where=target.origin)


def _refuse_together(recorded: bool, follow: bool, span: Range, *, verify: bool, dry_run: bool) -> None:
    """Raises:
    UsageError: options that make no sense with each other.
    """
    if follow and not recorded:
        raise UsageError(
            "is for recordings", where="--follow", mend="leave it out: what is live goes on anyway"
        )
    if follow and not span.everything:
        raise UsageError("a range has an end", where="--follow", mend="leave out --since, --until and --last")
    if verify and not recorded:
        raise UsageError("only what is recorded can be compared", where="--verify", mend="name the recording")
    if verify and dry_run:
        raise UsageError("writes nothing either way", where="--verify", mend="leave out --dry-run")
    if (verify or dry_run) and follow:
        what = "--verify" if verify else "--dry-run"
        raise UsageError(f"{what} wants an end", where="--follow", mend="leave it out")


def _tell_problems(run: Run) -> None:
    for problem in run.problems[:_PROBLEMS_TOLD]:
        log.warning("%s", hxpush_options.told(problem))
    if (more := len(run.problems) - _PROBLEMS_TOLD) > 0:
        log.warning("and %d more; `speeddata hxpush map --check` shows them all", more)


def _show_points(run: Run, *, as_json: bool) -> None:
    if as_json:
        for p in run.points:
            told = {"signal": f"{p.channel}.{p.signal}", "point": p.id, "dis": p.dis, "kind": p.kind}
            click.echo(json_line({**told, "unit": p.unit, "tz": p.zone}))
        return
    rows = [
        [f"{p.channel}.{p.signal}", f"@{p.id}", printable(p.dis), p.kind, p.unit or "", p.zone]
        for p in run.points
    ]
    for line in lines(("signal", "point", "dis", "kind", "unit", "tz"), rows):
        click.echo(line)


def _show_first(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        first = summary.first.decode(errors="replace")
        told = {"samples": summary.samples, "calls": summary.calls, "steps": summary.steps, "first": first}
        click.echo(json_line(told))
        return
    said = f"{many(summary.samples, 'sample')} in {many(summary.calls, 'call')}; nothing is written"
    click.echo(f"\n{said}")
    if summary.first:
        click.echo(f"\nthe first call:\n{_shown(summary.first)}")
        if len(summary.first) > _SHOWN_BYTES:
            click.echo(f"... {len(summary.first) - _SHOWN_BYTES:,} bytes more")


def _shown(body: bytes) -> str:
    text = body[:_SHOWN_BYTES].decode(errors="replace")
    return "\n".join(printable(line) for line in text.splitlines())


def _verify(run: Run, *, as_json: bool) -> None:
    """Say of each point what was found.

    Raises:
        PartlyDone: something is not there as it was sent, or cannot be.
    """
    found = run.verify()
    if not found:
        log.warning("--verify: nothing of this was sent yet, so there is nothing to compare")
    if as_json:
        for each in found:
            told = {"signal": f"{each.point.channel}.{each.point.signal}", "point": each.point.id}
            counts = {"samples": each.expected, "missing": each.missing, "different": each.different}
            first = None if each.first_ns is None else iso_utc(each.first_ns)
            click.echo(json.dumps({**told, **counts, "first": first}))
    elif found:
        rows = [
            [
                *(f"{each.point.channel}.{each.point.signal}", f"@{each.point.id}"),
                *(f"{count:,}" for count in (each.expected, each.missing, each.different)),
                "" if each.first_ns is None else iso_utc(each.first_ns),
            ]
            for each in found
        ]
        heading = ("signal", "point", "samples", "missing", "different", "first of them")
        for line in lines(heading, rows, right=("samples", "missing", "different")):
            click.echo(line)
    if wrong := [each for each in found if not each.well]:
        missing, different = sum(each.missing for each in wrong), sum(each.different for each in wrong)
        raise PartlyDone(
            f"{missing:,} samples missing and {different:,} different, of {many(len(wrong), 'point')}",
            where="--verify",
            mend="send them again with --since",
        )
    if fatal := sum(problem.fatal for problem in run.problems):
        raise PartlyDone(f"{many(fatal, 'signal')} without a point that fits", where="--verify")


class _Progress:
    """How far it is, redrawn on a terminal; with *each* a line of JSON for each window."""

    def __init__(self, total_bytes: int, begun: float, *, each: bool) -> None:
        self._total, self._begun, self._each = total_bytes, begun, each
        self._read, self._shown = 0, 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def see(self, summary: Summary, size: int) -> None:
        self._read += size
        now = time.monotonic()
        if self._each and size:
            click.echo(json.dumps(_as_json(summary, self.seconds, None)))
        if now - self._shown < _REDRAW_S:
            return
        self._shown = now
        share = f"[{self._read / self._total:4.0%}]  " if self._total else ""
        rate = summary.samples / max(self.seconds, 1e-3)
        told = f"{share}{summary.samples:,} samples, {rate:,.0f}/s, {many(summary.calls, 'call')}"
        lag = _lag_s(summary)
        report.status([told if lag is None else f"{told}, {hxpush_options.ago(lag)} behind"])


def _tell_losses(summary: Summary) -> None:
    told = summary.told
    if told.merged:
        log.warning(
            "%s shared a moment with another one of its point, as of %s",
            *(many(told.merged, "sample"), told.merged_example),
        )
    if told.rounded_example is not None:
        name, value = told.rounded_example
        log.info(
            "%s: the server keeps 32 bits of numbers that are not whole, as of %s: %r",
            *(many(told.rounded, "sample"), name, value),
        )
    if told.not_finite:
        log.info("%s NaN or infinite, as of %s", many(told.not_finite, "sample"), told.not_finite_example)


def _in_words(summary: Summary, where: str, seconds: float) -> str:
    steps = f" ({summary.calls / summary.steps:.2g} a step)" if summary.steps else ""
    lag = _lag_s(summary)
    behind = "" if lag is None else f"; the newest is {hxpush_options.ago(lag)} old"
    samples, points = many(summary.samples, "sample"), many(summary.points, "point")
    return f"{where}: {samples} of {points} in {many(summary.calls, 'call')}{steps}, {seconds:.1f} s{behind}"


def _as_json(summary: Summary, seconds: float, requests: int | None) -> dict[str, Any]:
    told = summary.told
    lag = _lag_s(summary)
    return {
        "samples": summary.samples,
        "calls": summary.calls,
        "steps": summary.steps,
        "calls_per_step": summary.calls / summary.steps if summary.steps else None,
        **({} if requests is None else {"requests": requests}),
        "points": summary.points,
        "refused": summary.refused,
        "set_aside": summary.set_aside,
        **{name: getattr(told, name) for name in _COUNTS},
        "newest": None if summary.newest_ns is None else iso_utc(summary.newest_ns),
        "lag_s": None if lag is None else round(lag, 3),
        "seconds": round(seconds, 3),
    }


def _lag_s(summary: Summary) -> float | None:
    return None if summary.newest_ns is None else max(0.0, (time.time_ns() - summary.newest_ns) / 1e9)
