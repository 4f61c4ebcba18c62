"""The stream of NATS JetStream that messages go to: making it, its subjects, how a message looks there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from speeddata.errors import PeerError
from speeddata.subscription.destinations import Nats
from speeddata.subscription.engine import Message, Received, Unreachable

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

KEEP_S = 7 * 86400.0  # retention of a stream that is made here
DUPLICATE_WINDOW_S = 600.0  # the server knows the ids of that time: the longest restart it hides

_NO_STREAM, _IS_THERE, _OVERLAPS = 10059, 10058, 10065  # errors of JetStream
_ID, _TOPIC, _KEY, WINDOW_ID = "sd-msg-id", "sd-topic", "sd-key", "Nats-Msg-Id"
_STREAM, EXPECTED_ID = "Nats-Expected-Stream", "Nats-Expected-Last-Msg-Id"  # else: refused
_PLAIN = "".join(chr(code) for code in range(33, 127) if chr(code) not in "%*>")


async def ready(jetstream: JetStreamContext, destination: Nats) -> int:
    """See to it that the stream is there.

    Returns:
        Bytes of its largest message, -1 without a limit of its own.

    Raises:
        Unreachable: it is not there yet, and somebody else is to make it.
        PeerError: it is not there, and not to be made; or another one has its subjects.
    """
    from nats.js import api
    from nats.js.errors import APIError

    try:
        config = (await jetstream.stream_info(destination.stream)).config
    except APIError as exc:
        if exc.err_code != _NO_STREAM:
            raise
        if destination.on_missing == "wait":
            raise Unreachable("the stream is not there yet", where=destination.redacted) from exc
        if destination.on_missing == "fail":
            mend = "make it, or take on-missing=fail away"
            raise PeerError("the stream is not there", where=destination.redacted, mend=mend) from exc
        config = api.StreamConfig(
            name=destination.stream,
            description="made by speeddata",
            subjects=[_whole(destination)],
            storage=api.StorageType.FILE,
            max_age=KEEP_S,
            duplicate_window=DUPLICATE_WINDOW_S,
        )
        try:
            config = (await jetstream.add_stream(config)).config
        except APIError as refusal:
            if refusal.err_code == _OVERLAPS:
                mend = "name that stream, or give this one subjects of its own with subject="
                what = f"another stream has subjects of {_whole(destination)}"
                raise PeerError(what, where=destination.redacted, mend=mend) from refusal
            if refusal.err_code != _IS_THERE:  # else somebody was faster
                raise
            config = (await jetstream.stream_info(destination.stream)).config
    return config.max_msg_size or -1


def subject(destination: Nats, message: Message) -> str:
    """Where *message* goes; characters that no subject has are escaped."""
    return destination.subject_of(_token(message.topic), _token(message.key))


def interest(destination: Nats, topic: str) -> str:
    """The subjects of *topic*'s messages; where topics have dots, perhaps of some others, too."""
    tokens = destination.subject.split(".")
    named = next((at for at, token in enumerate(tokens) if "{channel}" in token), None)
    before = destination.subject if named is None else ".".join(tokens[:named])
    fixed = replace(destination, subject=before).subject_of(_token(topic), "")
    return fixed if named is None else f"{fixed}.>" if fixed else ">"


def headers(message: Message, destination: Nats) -> dict[str, str]:
    """What says more about *message* than its body."""
    found = {_TOPIC: _escaped(message.topic), _KEY: _escaped(message.key), _STREAM: destination.stream}
    if message.id:
        found[_ID] = _escaped(message.id)
        # ids are a topic's own, but the server compares those of the whole stream
        found[WINDOW_ID] = f"{found[_TOPIC]}/{found[_ID]}"
    return found


def size(message: Message, header: dict[str, str]) -> int:
    """Bytes of *message* as the server counts them."""
    return len(message.body) + 12 + sum(len(name) + len(value) + 4 for name, value in header.items())


def received(message: Msg, topic: str) -> Received:
    """What came from a consumer; one that says no topic is taken for one of *topic*."""
    header: dict[str, Any] = message.headers or {}
    # $JS.ACK.STREAM.CONSUMER.times.sequence.its sequence.ns.pending;
    # with a domain: its name and the account's hash behind ACK
    fields = message.reply.split(".")
    sequence, time_ns = (fields[5], fields[7]) if len(fields) == 9 else (fields[7], fields[9])
    return Received(
        sequence,
        unquote(header[_ID]) if _ID in header else header.get(WINDOW_ID, ""),
        unquote(header[_TOPIC]) if _TOPIC in header else topic,
        unquote(header.get(_KEY, "")),
        message.data,
        int(time_ns),
        token=message.reply,
    )


def durable(topic: str, name: str) -> str:
    """The consumer's name at the server: one of each name for each topic."""
    # no % in it: the server takes it for a format where it makes the address for acknowledgements
    return "+".join(quote(part, safe="").replace(".", "%2E").replace("%", "=") for part in (topic, name))


def _whole(destination: Nats) -> str:
    """The subjects of all topics."""
    tokens = destination.subject.split(".")
    named = next((at for at, token in enumerate(tokens) if "{" in token), None)
    return ".".join(tokens if named is None else [*tokens[:named], ">"])


def _token(name: str) -> str:
    return quote(name, safe=_PLAIN) or "%"  # a token has at least a character


def _escaped(text: str) -> str:
    return quote(text, safe=_PLAIN)
