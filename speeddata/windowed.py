"""Windows of datums reduced to one or two: values are decoded, a batch of whole windows at a time."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speeddata.avro import codec
from speeddata.avro.columns import Column
from speeddata.avro.schema import Schema, parse
from speeddata.avro.types import DTYPES, NUMBERS, Signal
from speeddata.batch import Batch
from speeddata.reductions import Mean, MinMax, Reduction, Rms, State, combined, reduced
from speeddata.windows import NONE, Cutter, Datums, Offsets, chosen, joined, part

AVERAGES = {"mean": Mean, "rms": Rms}

# Datums: of a longer window so many are reduced together, so that none is held as a whole. They are counted
# from its first datum on, not from where a batch begins: its sum is the same whatever the cut of the stream.
PIECE = 1024


class Windowed:
    """Reduces each window to one datum (mean, rms), or to two (minmax): the lows, then the highs.

    The abscissa is that of the window's first datum; of the highs, that of its last. What is no number, an
    array too, keeps the window's last value, and so do integers with a logical type (the mean of dates is
    none) unless it is minmax. Numbers are of the type double in a mean or rms.

    Args:
        method: "minmax", "mean" or "rms".
        schema: of the datums that come, which have been proven.
        cutter: where windows end.
        whole: leave out the last window, which may be short.

    Attributes:
        schema: of the datums that come out.
    """

    def __init__(self, method: str, schema: Schema, cutter: Cutter, *, whole: bool = False) -> None:
        self.method = method
        self._source, self._cutter, self._whole = schema, cutter, whole
        self._groups = _groups(method, schema)
        self._numbers = [name for group in self._groups for name in group.names]
        self.schema = as_doubles(schema, self._numbers) if method in AVERAGES else schema
        kept = [signal.name for signal in schema.signals if signal is not schema.abscissa]
        self._others = [name for name in kept if name not in set(self._numbers)]
        self._pending: list[Datums] = []  # of the window that is open: as they came
        self._count = 0  # how many these are
        self._first: Datums | None = None  # the first of the open window, once its first pieces are reduced
        self._open: list[State] = []  # what became of those pieces, of each group

    def take(self, data: bytes, offsets: Offsets) -> Datums:
        """What becomes of the windows that are full with these datums."""
        if len(offsets) < 2:
            return NONE
        ends = self._cutter.ends(data, offsets) + self._count
        self._pending.append((data, offsets))
        self._count += len(offsets) - 1
        return self._reduced(ends)

    def finish(self) -> Datums:
        """What becomes of the last window."""
        if self._whole or not self._count:
            return NONE
        return self._reduced(np.array([self._count]))

    def _reduced(self, ends: NDArray[np.int64]) -> Datums:
        """Reduce the windows that end at *ends*, and what is large of the one after them."""
        closed = len(ends)
        last = int(ends[-1]) if closed else 0
        # One datum at least is left for the end of the window, whose last values are kept.
        pieces = max(0, (self._count - last - 1) // PIECE)
        upto = last + pieces * PIECE
        if not upto:
            return NONE
        data, offsets = joined(self._pending)
        bounds = np.concatenate(([0], ends, [upto] if pieces else [])).astype(np.int64)
        states = self._states(data, offsets[: upto + 1], bounds)
        firsts = chosen(data, offsets, bounds[:closed])
        if self._first is not None and closed:
            firsts = joined([self._first, part(*firsts, 1, closed)])
        lasts = chosen(data, offsets, bounds[1 : closed + 1] - 1)
        if closed:
            self._first, self._open = None, []
        if pieces:
            self._open = [[each[:, -1:] for each in state] for state in states]
            self._first = self._first or part(data, offsets, last, last + 1)
        self._count -= upto
        self._pending = [part(data, offsets, upto, upto + self._count)] if self._count else []
        if not closed:
            return NONE
        return self._encoded([[each[:, :closed] for each in state] for state in states], firsts, lasts)

    def _states(self, data: bytes, offsets: Offsets, bounds: NDArray[np.int64]) -> list[State]:
        """The states of windows with these *bounds*, of each group; the first may have been begun."""
        counts = (np.diff(bounds) + PIECE - 1) // PIECE
        firsts = np.cumsum(counts) - counts
        place = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
        starts = np.repeat(bounds[:-1], counts) + place * PIECE
        batch = Batch(self._source, data, len(offsets) - 1, offsets)
        columns = codec.columns(batch, self._numbers)
        if self._open:
            counts[0] += 1
        states = []
        for place, (names, reduction) in enumerate(self._groups):
            state = reduced(reduction, reduction.prepare(_stacked([columns[name] for name in names])), starts)
            if self._open:
                both = zip(self._open[place], state, strict=True)
                state = [np.concatenate(parts, axis=1) for parts in both]
            states.append(combined(reduction, state, counts))
        return states

    def _encoded(self, states: list[State], firsts: Datums, lasts: Datums) -> Datums:
        abscissa = self._source.abscissa.name
        begin = self._columns(firsts, [abscissa])[abscissa]
        kept = self._columns(lasts, [*self._others, abscissa])
        several = 1 if self.method in AVERAGES else 2  # datums of a window
        found = {abscissa: _in_turn([begin, kept[abscissa]][:several])}
        found |= {name: _in_turn([kept[name]] * several) for name in self._others}
        for (names, reduction), state in zip(self._groups, states, strict=True):
            found |= zip(names, _rows(_in_turn(reduction.finish(state))), strict=True)
        batch = codec.encode(self.schema, found)
        return batch.data, codec.offsets(batch)

    def _columns(self, datums: Datums, names: list[str]) -> dict[str, Column]:
        data, offsets = datums
        found = codec.columns(Batch(self._source, data, len(offsets) - 1, offsets), names)
        return {name: _flat(column) for name, column in found.items()}


class _Group(NamedTuple):
    """Signals of one type that are reduced together."""

    names: list[str]
    reduction: Reduction


def _groups(method: str, schema: Schema) -> list[_Group]:
    """All signals that are numbers, the abscissa left out."""
    groups: dict[tuple[str, bool], _Group] = {}
    for signal in schema.signals:
        if signal.kind not in NUMBERS or signal is schema.abscissa:
            continue
        if method in AVERAGES and _is_moment(signal):
            continue
        made = AVERAGES[method]() if method in AVERAGES else MinMax(DTYPES[signal.kind])
        groups.setdefault((signal.kind, signal.nullable), _Group([], made)).names.append(signal.name)
    return list(groups.values())


def _flat(column: Column) -> Column:
    """A list for each array of numbers, as where they are not as long as promised."""
    if column.values.ndim == 1:
        return column
    return Column(np.fromiter(column.values.tolist(), object, len(column.values)), column.valid)


def _stacked(columns: list[Column]) -> Column:
    """Columns of one type as rows of one."""
    valid = [column.valid for column in columns if column.valid is not None]
    return Column(np.stack([column.values for column in columns]), np.stack(valid) if valid else None)


def _rows(stacked: Column) -> list[Column]:
    if stacked.valid is None:
        return [Column(values) for values in stacked.values]
    return [Column(*both) for both in zip(stacked.values, stacked.valid, strict=True)]


def _in_turn(columns: list[Column]) -> Column:
    """The first of each of *columns*, then the second of each, and so on; of stacked ones row by row."""
    if len(columns) == 1:
        return columns[0]
    several = [column.values for column in columns]
    valid = [column.valid for column in columns if column.valid is not None]
    return Column(_woven(several), _woven(valid) if valid else None)


def _woven(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    woven = np.stack(arrays, axis=-1)
    return woven.reshape(*woven.shape[:-2], -1)


def _is_moment(signal: Signal) -> bool:
    return signal.kind in ("int", "long") and signal.logical is not None


def as_doubles(schema: Schema, names: Any) -> Schema:
    """*schema* with the signals in *names*, all numbers, of type double; all else as it was.

    It is *schema* itself where they all are already.
    """
    if all(signal.kind == "double" for signal in schema.signals if signal.name in names):
        return schema
    tree = json.loads(schema.text)
    record = tree
    while isinstance(record["type"], dict):
        record = record["type"]
    for field in record["fields"]:
        if field["name"] in names:
            field["type"] = _as_double(field["type"])
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    return parse(text, where="the decimated schema", time_unit=schema.time_unit)


def _as_double(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_as_double(branch) for branch in tree]
    if isinstance(tree, dict):
        return {**tree, "type": _as_double(tree["type"])}
    return "double" if tree in NUMBERS else tree
