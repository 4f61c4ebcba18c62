"""What was read before and comes again: told by the message's id, else datapoint by datapoint.

Memory is bounded by counts and by age. The state is JSON, so that a restart forgets nothing.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from speeddata.errors import DataError

MAX_MESSAGES: Final = 100_000
MAX_POINTS: Final = 250_000  # some 50 MB
_DIGEST = 16  # bytes: no two datapoints have the same by chance
_VERSION = 1
_NO_MEMORY, _BEGIN_ANEW = "is no memory of what was read", "remove it, and everything will be new"


@dataclass(slots=True)
class Look:
    """A message looked at, until it is dealt with or given back.

    Attributes:
        again: its id was read before: nothing of it is new.
        items: of the envelope, with the datapoints that are new; those without any are left out.
        dropped: datapoints left out.
    """

    again: bool
    items: list[Any]
    dropped: int = 0
    _id: str = field(default="", repr=False)
    _digests: dict[bytes, None] = field(default_factory=dict, repr=False)


class Dedup:
    """Remembers messages and datapoints of the last *age_ns*, and at most so many of them.

    A datapoint is the same where its id, time and value are, and another message had it: what is sent again
    never repeats within one, but samples above a kilohertz share their milliseconds.
    A message is remembered only once it was dealt with: what fails and is handed out again is new again.
    All times are the caller's, when it read the message, in nanoseconds since 1970; one that is earlier than
    another before counts as that one.

    Args:
        age_ns: for so long a message and a datapoint are remembered.
        messages, points: so many at most; the oldest are forgotten first.

    Attributes:
        dropped_messages, dropped_points: dealt with so far; points of dropped messages are not counted.
    """

    def __init__(self, age_ns: int, *, messages: int = MAX_MESSAGES, points: int = MAX_POINTS) -> None:
        if age_ns < 0 or messages < 0 or points < 0:
            raise ValueError("a window below nothing")
        self.age_ns, self.messages, self.points = age_ns, messages, points
        self.dropped_messages = self.dropped_points = 0
        self._now_ns = 0
        self._messages: OrderedDict[str, int] = OrderedDict()
        self._points: OrderedDict[bytes, int] = OrderedDict()
        self._open_messages: set[str] = set()  # looked at, and not yet dealt with
        self._open_points: set[bytes] = set()

    def look(self, message_id: str, items: Iterable[Any], now_ns: int) -> Look:
        """What is new of a message with that id (empty: it has none) and these items of its envelope.

        Whatever is not of the envelope's form is new. `done` or `undone` has to follow.
        """
        self._forget(now_ns)
        if message_id and (message_id in self._messages or message_id in self._open_messages):
            return Look(True, [])
        found = Look(False, [], _id=message_id)
        for item in items:
            points = item.get("datapoints") if isinstance(item, dict) else None
            if not isinstance(points, list) or not points or isinstance(item.get("id"), dict | list):
                found.items.append(item)
                continue
            name = str(item.get("id")).lower()
            new = [point for point in points if self._is_new(name, point, found)]
            found.dropped += len(points) - len(new)
            if new:
                found.items.append({**item, "datapoints": new})
        if message_id:
            self._open_messages.add(message_id)
        self._open_points.update(found._digests)
        return found

    def done(self, look: Look) -> None:
        """The message was dealt with for good."""
        self._close(look)
        self.dropped_messages += look.again
        self.dropped_points += look.dropped
        if look._id:
            self._messages[look._id] = self._now_ns
        for digest in look._digests:
            self._points[digest] = self._now_ns
        self._shorten()

    def undone(self, look: Look) -> None:
        """The message was given back: it will come again, and is to be new then."""
        self._close(look)

    def state(self) -> dict[str, Any]:
        """All that is remembered, for `json.dumps`."""
        return {
            "version": _VERSION,
            "now_ns": self._now_ns,
            "messages": [[name, at] for name, at in self._messages.items()],
            "points": [[digest.hex(), at] for digest, at in self._points.items()],
        }

    def news(self, looks: Iterable[Look]) -> dict[str, Any]:
        """What *looks*, which were dealt with just now, added to `state`: for `json.dumps`, and `learn`.

        Of a message with an id that is its id: who sends it again sends it with the same one.
        """
        found: dict[str, Any] = {"now_ns": self._now_ns, "messages": [], "points": []}
        for look in looks:
            if look._id:
                found["messages"].append(look._id)
            else:
                found["points"] += [digest.hex() for digest in look._digests]
        return found

    def learn(self, news: object) -> None:
        """Remember what `news` gave, too.

        Raises:
            DataError: it is nothing that `news` gave.
        """
        try:
            if not isinstance(news, dict):
                raise TypeError
            now_ns = _of(int, news["now_ns"])
            messages = [_of(str, name) for name in news["messages"]]
            points = [bytes.fromhex(digest) for digest in news["points"]]
        except (KeyError, TypeError, ValueError):
            raise DataError(_NO_MEMORY, mend=_BEGIN_ANEW) from None
        self._now_ns = max(self._now_ns, now_ns)
        self._messages.update(dict.fromkeys(messages, self._now_ns))
        self._points.update(dict.fromkeys(points, self._now_ns))
        self._shorten()

    def restore(self, state: object) -> None:
        """Remember what `state` gave, instead of what is remembered now.

        Raises:
            DataError: it is nothing that `state` gave.
        """
        try:
            self._messages, self._points, self._now_ns = _read(state)
        except (KeyError, TypeError, ValueError):
            raise DataError(_NO_MEMORY, mend=_BEGIN_ANEW) from None
        self._shorten()

    def _is_new(self, name: str, point: Any, look: Look) -> bool:
        if not isinstance(point, dict):
            return True
        told = [name, point.get("time"), point.get("value")]
        if any(isinstance(each, dict | list) for each in told):
            return True
        text = json.dumps(told)  # where true, 1 and 1.0 are three values, as in the message
        digest = blake2b(text.encode(), digest_size=_DIGEST).digest()
        if digest in self._points or digest in self._open_points:
            return False
        look._digests[digest] = None
        return True

    def _close(self, look: Look) -> None:
        self._open_messages.discard(look._id)
        self._open_points.difference_update(look._digests)

    def _forget(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        oldest = self._now_ns - self.age_ns
        known: OrderedDict[Any, int]
        for known in (self._messages, self._points):
            while known and next(iter(known.values())) < oldest:
                known.popitem(last=False)

    def _shorten(self) -> None:
        known: OrderedDict[Any, int]
        for known, most in ((self._messages, self.messages), (self._points, self.points)):
            while len(known) > most:
                known.popitem(last=False)


def _read(state: Any) -> tuple[OrderedDict[str, int], OrderedDict[bytes, int], int]:
    if not isinstance(state, dict) or state["version"] != _VERSION:
        raise ValueError
    messages = OrderedDict((_of(str, name), _of(int, at)) for name, at in state["messages"])
    points = OrderedDict((bytes.fromhex(digest), _of(int, at)) for digest, at in state["points"])
    return messages, points, _of(int, state["now_ns"])


def _of(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value
