"""Findings told: in lines for people, and as what JSON can say for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from speeddata import table
from speeddata.avro.schema import TICK_NS, Schema
from speeddata.findings import FileFindings, Findings, Place, type_text
from speeddata.legible import printable
from speeddata.steps import Gap, Summary
from speeddata.timerange import iso_utc

_LABEL = 10  # characters
_MOST = 10  # gaps and places told to people one by one
_LOSSES = ("lost", "lost_kernel", "lost_disk", "rejected")


# -- for programs -------------------------------------------------------------------------------------------


def record(found: Findings, sequence: str | None) -> dict[str, Any]:
    """All that was found, as JSON: times are RFC 3339, steps in the abscissa's own unit."""
    schema = found.schema
    told: dict[str, Any] = {"channel": found.channel, "damaged": found.damaged}
    if schema is not None:
        told |= {
            "record": schema.name,
            "fingerprint": schema.fingerprint,
            "abscissa": schema.abscissa.name,
            "time_unit": schema.time_unit,
            "signals": [
                {
                    "name": signal.name,
                    "type": type_text(signal.node),
                    "unit": _unit(schema, signal.name),
                    "description": signal.doc,
                }
                for signal in schema.signals
            ],
            "changes": found.changes,
        }
    if found.announced is not None:
        told["announced"] = found.announced
    if found.announced is None or found.datums:
        told |= {
            "files": [_file(file) for file in found.files],
            "size": sum(file.size for file in found.files),
            "blocks": found.blocks,
            "datums": found.datums,
            "since": _moment(found.least, schema),
            "until": _moment(found.greatest, schema),
            "rate": found.rate_hz,
            "gaps": _steps(found.steps, schema),
        }
        if sequence is not None:
            told["sequence"] = {"signal": sequence, **(_steps(found.sequence, None) or {})}
        told |= {
            "damaged_bytes": found.damaged_bytes,
            "damaged_places": found.damaged_places,
            "damage": [place._asdict() for place in found.damage],
            "undecodable_blocks": found.undecodable_blocks,
            "undecodable_datums": found.undecodable_datums,
            "undecodable": [place._asdict() for place in found.undecodable],
            "unreadable": found.unreadable,
        }
    told["losses"] = found.counts
    return told


def _file(file: FileFindings) -> dict[str, Any]:
    return {
        "file": file.name,
        "codec": file.codec,
        "size": file.size,
        "blocks": file.blocks,
        "datums": file.datums,
        "writing": file.writing,
        "torn": None if not file.torn else {"offset": file.size - file.torn, "size": file.torn},
    }


def _steps(steps: Summary | None, schema: Schema | None) -> dict[str, Any] | None:
    if steps is None:
        return None
    places = [
        {"after": _told(gap.after, schema), "before": _told(gap.before, schema), "step": gap.step}
        for gap in steps.longest
    ]
    return {
        "median_step": steps.median,
        "count": steps.gaps,
        "missing": steps.missing,
        "longest": places,
        "steps_back": steps.back,
        "repeated": steps.repeated,
    }


def _told(value: int | float, schema: Schema | None) -> str | int | float:
    """A value of the abscissa: a time where the schema says so."""
    if schema is None or schema.time_unit is None:
        return value
    return _moment(round(value * TICK_NS[schema.time_unit]), schema) or value


def _moment(value: int | float | None, schema: Schema | None) -> str | int | float | None:
    """Nanoseconds as RFC 3339 text; what is no time as it is."""
    if value is None or schema is None or schema.time_unit is None:
        return value
    try:
        return iso_utc(int(value))
    except ValueError:
        return value


def _unit(schema: Schema, name: str) -> str | None:
    signal = next(signal for signal in schema.signals if signal.name == name)
    return schema.time_unit if signal is schema.abscissa and schema.time_unit else signal.unit


# -- for people ---------------------------------------------------------------------------------------------


def lines(found: Findings, sequence: str | None) -> Iterator[str]:
    """All that was found, in lines that begin with what they are about."""
    yield _line("channel", found.channel)
    if found.schema is not None:
        yield from _schema(found.schema)
    for change in found.changes:
        yield _line("changed", change)
    if found.announced is not None:
        told = found.announced
        served = "  ".join(
            f"{name} {told[name]}" for name in ("full", "decimated", "factor", "method") if name in told
        )
        yield _line(
            "live", f"{told.get('state', '')}, {told.get('rate_hz', '?')}/s by {told['relay']}  {served}"
        )
    if found.announced is None or found.datums:
        yield from _data(found, sequence)
    if found.counts is not None:
        told_losses = ", ".join(f"{found.counts[name]} {name}" for name in _LOSSES if found.counts[name])
        yield _line("losses", told_losses or "none")
    yield from _damage(found)


def _schema(schema: Schema) -> Iterator[str]:
    yield _line("schema", f"{schema.name}, fingerprint {schema.fingerprint}")
    rows = [
        [signal.name, type_text(signal.node), _unit(schema, signal.name) or "-", signal.doc or ""]
        for signal in schema.signals
    ]
    printables = [[printable(cell) for cell in row] for row in rows]
    for number, line in enumerate(table.lines(("", "", "", ""), printables)[1:]):
        yield _line("" if number else "signals", line, plain=True)


def _data(found: Findings, sequence: str | None) -> Iterator[str]:
    schema = found.schema
    if found.files:
        codecs = ", ".join(sorted({file.codec for file in found.files if file.codec}))
        size = table.size(sum(file.size for file in found.files))
        yield _line("files", f"{len(found.files)}, {size}, codec {codecs}")
        for file in found.files:
            if file.writing:
                yield _line("", f"{file.name} is being written")
    blocks = f" in {table.many(found.blocks, 'block')}" if found.blocks else ""
    yield _line("datums", f"{found.datums:,}{blocks}")
    if found.least is not None and found.greatest is not None:
        span = f" ({_span(found.greatest - found.least)})" if schema and schema.time_unit else ""
        least, greatest = _moment(found.least, schema), _moment(found.greatest, schema)
        yield _line("range", f"{least} to {greatest}{span}")
    if found.rate_hz is not None:
        yield _line("rate", table.rate(found.rate_hz))
    if found.steps is not None:
        yield from _gaps("gaps", found.steps, schema)
    if sequence is not None and found.sequence is not None:
        yield from _gaps("sequence", found.sequence, None, f"{sequence}: ")


def _gaps(label: str, steps: Summary, schema: Schema | None, whose: str = "") -> Iterator[str]:
    if steps.median is None:
        yield _line(label, f"{whose}nothing goes forward")
        return
    count = f"{steps.gaps:,}" if steps.gaps else "none"
    missing = f", {table.many(steps.missing, 'sample')} missing" if steps.missing else ""
    back = f", {table.many(steps.back, 'step')} back" if steps.back else ""
    repeated = f", {steps.repeated:,} repeated" if steps.repeated else ""
    yield _line(label, f"{whose}{count} (median step {_step(steps.median, schema)}){missing}{back}{repeated}")
    longest = sorted(steps.longest, key=lambda gap: -gap.step)[:_MOST]
    for gap in (gap for gap in steps.longest if gap in longest[:_MOST]):
        yield _line("", _gap(gap, schema))
    if steps.gaps > len(longest):
        yield _line("", f"and {table.many(steps.gaps - len(longest), 'shorter one')}")


def _gap(gap: Gap, schema: Schema | None) -> str:
    return f"{_step(gap.step, schema)} after {_told(gap.after, schema)}"


def _damage(found: Findings) -> Iterator[str]:
    for file in found.files:
        if file.torn and not file.writing:
            begin = file.size - file.torn
            yield _line("torn", f"{file.name}: the last {file.torn} bytes, at byte {begin}")
    yield from _places("damaged", found.damage, found.damaged_places)
    yield from _places("undecoded", found.undecodable, found.undecodable_blocks)
    for why in found.unreadable:
        yield _line("unreadable", why)


def _places(label: str, places: Sequence[Place], count: int) -> Iterator[str]:
    for file, offset, size in places[:_MOST]:
        yield _line(label, f"{file}: {size} bytes at byte {offset}")
    if count > _MOST:
        yield _line("", f"and {table.many(count - _MOST, 'more place')}")


def _step(step: int | float, schema: Schema | None) -> str:
    if schema is None or schema.time_unit is None:
        return f"{step:g}" if isinstance(step, float) else str(step)
    nanoseconds = step * TICK_NS[schema.time_unit]
    return _span(nanoseconds) if nanoseconds < 2.0**63 else f"{step:g} {schema.time_unit}"


def _span(nanoseconds: int | float) -> str:
    """`1 ms`, `2.5 s`, `3 h 20 min`: a span of time for people."""
    for limit, unit in ((1e3, "ns"), (1e6, "us"), (1e9, "ms"), (60e9, "s")):
        if nanoseconds < limit:
            tick = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[unit]
            return f"{nanoseconds / tick:.4g} {unit}"
    minutes, seconds = divmod(round(nanoseconds / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next(index for index, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)


def _line(label: str, text: str, *, plain: bool = False) -> str:
    return f"{label:<{_LABEL}}  {text if plain else printable(text)}".rstrip()
