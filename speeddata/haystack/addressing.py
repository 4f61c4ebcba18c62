"""Which point is which: what the map says joined with what the server has, in two calls for any number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from speeddata.avro.schema import Schema
from speeddata.errors import UsageError
from speeddata.haystack import units
from speeddata.haystack.client import Client
from speeddata.haystack.joining import Joined, Problem, by_key, ids_of, join
from speeddata.haystack.rules import Entry
from speeddata.haystack.rules import Mapping as PointMap
from speeddata.legible import printable

Schemas = Mapping[str, Sequence[Schema]]  # of each channel, in the order they were used


def entries(mapping: PointMap, schemas: Schemas) -> list[Entry]:
    """What *mapping* says of the signals of *schemas*: each once, as its channel's newest schema has it."""
    found: dict[tuple[str, str], Entry] = {}
    for channel, used in schemas.items():
        for schema in used:
            found |= {(channel, entry.signal): entry for entry in mapping.entries(channel, schema)}
    return list(found.values())


def refuse_none(found: list[Entry], schemas: Schemas, mapping: PointMap) -> None:
    """Raises:
    UsageError: there are signals, and none of them has an entry: nothing at all would be written.
    """
    if found or not any(schemas.values()):
        return
    signals = [
        f"{channel}.{signal.name}"
        for channel, used in schemas.items()
        for schema in used
        for signal in schema.signals
        if signal is not schema.abscissa
    ]
    if not signals:
        raise UsageError("no signal beside the abscissa", where=", ".join(schemas))
    skipped = any(rule.skip for rule in mapping.rules)
    raise UsageError(
        f"stands for no signal here, such as {signals[0]}{', or skips it' if skipped else ''}",
        where="--map",
        mend="`speeddata hxpush map --init SOURCE` drafts one",
    )


def timeless(wanted: Iterable[Entry], schemas: Schemas) -> list[Problem]:
    """Those of *wanted* whose channel has an abscissa that tells no time: they are no history."""
    abscissas = {
        channel: schema.abscissa.name
        for channel, used in schemas.items()
        for schema in used
        if schema.time_unit is None
    }
    return [
        Problem(
            *(entry.channel, entry.signal, _named(entry)),
            what=f"the abscissa {printable(abscissas[entry.channel])} does not tell its unit of time",
            mend="name it with --time-unit; if it is no time, write skip = true for the signal in the map",
            fatal=True,
        )
        for entry in wanted
        if entry.channel in abscissas
    ]


def other_units(entries: Mapping[tuple[str, str], Entry], found: Iterable[Entry]) -> dict[str, str]:
    """Those of *found*, one schema's, whose samples are in another unit than in *entries*: why, by signal."""
    said: dict[str, str] = {}
    for entry in found:
        now = entries.get((entry.channel.lower(), entry.signal))
        if now is not None and now.unit and entry.unit and not units.same(now.unit, entry.unit):
            was, unit = printable(entry.unit[:40]), printable(now.unit[:40])
            said[entry.signal] = f"was in {was} when it was recorded, and its point takes {unit}"
    return said


def changed(wanted: Iterable[Entry], mapping: PointMap, schemas: Schemas) -> list[Problem]:
    """Those of *wanted* that were of another type or unit in a recording of before."""
    then: dict[tuple[str, str], list[Entry]] = {}
    for channel, used in schemas.items():
        for schema in used[:-1]:
            for entry in mapping.entries(channel, schema):
                then.setdefault((channel, entry.signal), []).append(entry)
    problems = []
    for entry in wanted:
        before = then.get((entry.channel, entry.signal), [])
        now = {(entry.channel.lower(), entry.signal): entry}
        kinds = {each.sample_kind or each.type for each in before} - {entry.sample_kind}
        others = {each.unit or "" for each in before if other_units(now, [each])}
        for what, old, new in (("type", kinds, entry.sample_kind), ("unit", others, entry.unit)):
            if old and new:
                was, is_now = (printable(each[:40]) for each in (", ".join(sorted(old)), new))
                problems.append(
                    Problem(
                        *(entry.channel, entry.signal, _named(entry)),
                        what=f"its {what} changes between recordings: {was}, now {is_now}",
                        mend="samples of before are set aside; name the new signal otherwise",
                        fatal=False,
                    )
                )
    return problems


def addressed(
    client: Client,
    mapping: PointMap,
    wanted: list[Entry],
    schemas: Schemas,
    *,
    sub_second: Collection[str] = (),
) -> Joined:
    """The points of *wanted*, and what is wrong with the rest; asks once for all ids, once for all keys.

    Raises:
        PeerError: the server refuses, or cannot be reached.
    """
    problems = timeless(wanted, schemas)
    refused = {(problem.channel, problem.signal) for problem in problems}
    wanted = [entry for entry in wanted if (entry.channel, entry.signal) not in refused]
    ids = ids_of(wanted)
    by_id = dict(zip(ids, client.read_ids(ids), strict=True)) if ids else {}
    rows = client.read(f"point and {mapping.key_tag}").rows if any(each.key for each in wanted) else []
    found = by_key(rows, mapping.key_tag)
    joined = join(wanted, by_id, found, key_tag=mapping.key_tag, sub_second=sub_second)
    return Joined(joined.points, [*problems, *joined.problems, *changed(wanted, mapping, schemas)])


def _named(entry: Entry) -> str:
    """What the map calls the point."""
    return printable(f"@{entry.id}" if entry.id else entry.key or "")
