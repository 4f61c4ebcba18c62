"""Messages for a pipe: a line each, the payload alone, or a line for each datapoint in them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from speeddata.subscription.engine import Received
from speeddata.timerange import iso_utc

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

Form = Literal["message", "payload", "points"]

_POINT = ("time", "value", "status")
_LONG = re.compile(rb"\d{19}")  # an integer that orjson might read as a float
_PLAIN = re.compile(r"[\n\t -~]*")


def line(received: Received, form: Form) -> bytes:
    """What is written of a message, with its line feeds; with `points` nothing of one without datapoints.

    Args:
        form: `message` is JSON with sequence, id, topic, key, time and payload; `payload` the body as it is;
            `points` an object of id, time, value and status for each datapoint of an envelope; one that is
            nested hundreds deep is none.
    """
    if form == "payload":
        return _one_line(received.body) + b"\n"
    if form == "points":
        value, dumped = _parsed(received.body)
        try:
            return b"".join(_points(_items(value), dumped))
        except (TypeError, RecursionError):  # orjson reads deeper than it writes, and so does Python
            return b""
    said = {
        **{"sequence": received.sequence, "id": received.id, "topic": received.topic, "key": received.key},
        "time": _moment(received.time_ns),
    }
    return _dumped(said)[:-1] + b',"payload":' + _as_json(received.body) + b"}\n"


def items_of(body: bytes) -> list[Any]:
    """The items of an envelope; none of a body that is no envelope."""
    return _items(_parsed(body)[0])


def with_items(body: bytes, items: list[Any]) -> bytes:
    """The envelope *body* with other *items*; *body* itself where it is nested too deeply to be written."""
    envelope, dumped = _parsed(body)
    try:
        return dumped({**envelope, "data": {**envelope["data"], "items": items}})
    except (TypeError, RecursionError):
        return body


def shown(lines: bytes) -> bytes:
    """*lines* for a terminal: what could steer it, in JSON's own escapes."""
    text = lines.decode("utf-8", "replace")
    return lines if _PLAIN.fullmatch(text) else "".join(map(_visible, text)).encode()


def _moment(time_ns: int) -> str | None:
    """None where no calendar has it: a server may say any time."""
    try:
        return iso_utc(time_ns)
    except ValueError:
        return None


def _visible(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _parsed(body: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """What *body* is as JSON, None where it is none, and what writes such a value without changing any."""
    if orjson is not None and not _LONG.search(body):
        try:
            return orjson.loads(body), orjson.dumps
        except ValueError:  # also for half a surrogate pair, which JSON may have
            pass
    try:
        text = body.decode("utf-8")
        return json.loads(text, parse_constant=_refuse, parse_float=_number), _dumped
    except (ValueError, RecursionError):
        return None, _dumped


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _number(text: str) -> float | None:
    """None where it is beyond a double: JSON has no word for infinity."""
    number = float(text)
    return number if math.isfinite(number) else None


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _items(envelope: Any) -> list[Any]:
    data = envelope.get("data") if isinstance(envelope, dict) else None
    items = data.get("items") if isinstance(data, dict) else None
    return items if isinstance(items, list) else []


def _points(items: list[Any], dumped: Callable[[Any], bytes]) -> Iterator[bytes]:
    for item in items:
        points = item.get("datapoints") if isinstance(item, dict) else None
        if not isinstance(points, list):
            continue
        begin = b'{"id":' + dumped(item.get("id")) + b","
        for point in points:
            if isinstance(point, dict):
                if tuple(point) != _POINT:
                    point = {name: point.get(name) for name in _POINT}
                yield begin + dumped(point)[1:] + b"\n"


def _as_json(body: bytes) -> bytes:
    """*body* where it is JSON; else as JSON's text of it."""
    if _parsed(body)[0] is not None or body.strip() == b"null":
        return _one_line(body)
    return _dumped(body.decode("utf-8", "replace"))


def _one_line(body: bytes) -> bytes:
    """*body* without line ends, which JSON has between its words only."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ")
