"""Settings for librdkafka, and what it tells about the broker, in our words.

It reconnects by itself, and tells of failures only on the side: `Complaints` listens there.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, Any

from speeddata.errors import PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Kafka
from speeddata.subscription.engine import Busy, Denied, Unreachable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

ANSWER_S = 10.0  # for an answer of a broker

_SLICE_S = 0.5  # of that, between two looks at complaints
_STOP_S = 0.5  # for an answer once the wish to stop is there: a broker that lives answers within that
_ABSENT = ("UNKNOWN_TOPIC_OR_PART", "LEADER_NOT_AVAILABLE")
_BASIC = "an event hub of the Basic tier has no Kafka endpoint"

log = logging.getLogger("speeddata")


class Complaints:
    """What librdkafka tells on the side, kept until somebody asks.

    Args:
        stop: ends waiting for a broker that does not answer.

    Attributes:
        denied: they do not let us in; `fenced`: another one has our name; both for good.
        trouble: the broker could not be reached, until this is told; `down`: until it could.
    """

    def __init__(self, destination: Kafka, stop: Stop | None = None) -> None:
        self._destination, self._stop = destination, stop or Stop()
        self._stop_at = float("inf")
        key = re.search(r"(?i);\s*SharedAccessKey\s*=([^;]*)", destination.password)
        self._secrets = [destination.password, key[1].strip() if key else ""]
        self._secrets += [value for name, value in destination.options if "password" in name]
        self._secrets = [secret for secret in self._secrets if secret]
        self.denied = self.fenced = self.trouble = ""
        self.down = False

    def heard(self, error: KafkaError) -> None:
        """librdkafka's `error_cb`."""
        text = self.text(error)
        log.debug("kafka: %s", text)
        if "fenced" in text.lower():
            self.fenced = text
        elif _refuses(error):
            self.denied = text
        else:
            self.down |= error.name() == "_ALL_BROKERS_DOWN"
            # "all brokers are down" follows the reason why, and says less
            if error.name() != "_ALL_BROKERS_DOWN" or not self.trouble:
                self.trouble = text

    def answered(self) -> None:
        """The broker did."""
        self.trouble, self.down = "", False

    def check(self, *, trouble: bool = False) -> None:
        """Raise what was heard; *trouble*: that, too, and once."""
        where = self._destination.redacted
        if self.denied:
            mend = "give the destination anew with a key or password that holds"
            if self._destination.event_hubs and "AUTHORIZATION" in self.denied.upper():
                mend += f"; {_BASIC}"
            raise Denied(self.denied, where=where, mend=mend)
        if self.fenced:
            raise Busy("another consumer took the name", where=where, mend="give this one a name of its own")
        if trouble and self.trouble:
            text, self.trouble = self.trouble, ""
            raise Unreachable(text, where=where)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What the library raises, in our words: a fatal error comes out of whatever is called next.

        Raises:
            Unreachable, Denied, Busy: as `raised` tells them.
        """
        try:
            with fatal():
                yield
        except library().KafkaException as exc:
            raise self.raised(exc.args[0]) from exc

    def over(self, end: float) -> bool:
        """Whether to wait no longer: the time *end* has come, or the wish to stop is some moments old."""
        now = time.monotonic()
        if self._stop.asked and self._stop_at > now + _STOP_S:
            self._stop_at = now + _STOP_S
        return now > min(end, self._stop_at)

    def raised(self, error: KafkaError) -> PeerError:
        """The exception for an *error* that an operation ended with."""
        self.heard(error)
        try:
            self.check()
        except PeerError as exc:
            return exc
        where, text = self._destination.redacted, self.text(error)
        if error.name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"):
            return Unreachable(f"the topic {self._destination.topic} is not there", where=where)
        return Unreachable(self.trouble or text, where=where)

    def text(self, error: KafkaError) -> str:
        """What *error* says, on one line and without secrets."""
        return " ".join(self.hidden(error.str()).split())

    def hidden(self, text: str) -> str:
        """*text* without the password, whoever put it there: servers repeat what they refuse."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _refuses(error: KafkaError) -> bool:
    name = error.name()
    return name in ("_AUTHENTICATION", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE") or name.endswith(
        ("AUTHENTICATION_FAILED", "AUTHORIZATION_FAILED")
    )


def library() -> Any:
    """The module `confluent_kafka`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import confluent_kafka.admin
    except ImportError:
        mend = "pip install 'speeddata[kafka]'"
        raise UsageError("confluent-kafka is not installed", mend=mend) from None
    return confluent_kafka


@contextlib.contextmanager
def fatal() -> Iterator[None]:
    """A fatal error as the library's exception, also where a report of a delivery came upon it.

    The library then calls our function with the exception set, which Python makes a SystemError of.
    """
    try:
        yield
    except SystemError as exc:
        if isinstance(exc.__cause__, library().KafkaException):
            raise exc.__cause__ from None
        raise


def settings(destination: Kafka) -> dict[str, Any]:
    """What every handle is made with: the way to the broker, and the user's own settings."""
    found: dict[str, Any] = {
        "bootstrap.servers": ",".join(destination.servers),
        "client.id": "speeddata",
        "reconnect.backoff.ms": 1000,
        "reconnect.backoff.max.ms": 60_000,
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": False,
    }
    ways = {(False, False): "plaintext", (True, False): "ssl", (False, True): "sasl_plaintext"}
    found["security.protocol"] = ways.get((destination.tls, destination.sasl is not None), "sasl_ssl")
    if destination.ca:
        found["ssl.ca.location"] = destination.ca
    if destination.sasl:
        found |= {
            "sasl.mechanism": destination.sasl,
            "sasl.username": destination.user,
            "sasl.password": destination.password,
        }
    if destination.event_hubs:
        # learn.microsoft.com/azure/event-hubs/apache-kafka-configurations: it cuts idle connections after
        # 240 s, and any at once that sends more than 1046528 bytes at a time
        found |= {
            "metadata.max.age.ms": 180_000,
            "message.max.bytes": 1_000_000,
        }
    return found | dict(destination.options)


def made(kind: Callable[..., Any], wanted: dict[str, Any], complaints: Complaints, **more: Any) -> Any:
    """A handle of *kind* with *wanted* settings; its log becomes ours, at debug.

    Raises:
        UsageError: librdkafka does not know a setting, or its value.
    """
    exception = library().KafkaException
    try:
        return kind({**wanted, "error_cb": complaints.heard}, logger=_Quiet(complaints), **more)
    except (exception, TypeError, ValueError) as exc:
        what = complaints.text(exc.args[0]) if isinstance(exc, exception) else str(exc)
        raise UsageError(what, mend="look at the settings x. of the destination") from exc


class _Quiet:
    """A logger, as far as the library wants one."""

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints

    def log(self, level: int, text: str, *args: object) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("kafka: %s", self._complaints.hidden(text % args))


def ready(handle: Producer | Consumer, destination: Kafka, complaints: Complaints) -> list[int]:
    """See to it that the topic is there; its partitions.

    Raises:
        Unreachable, Denied: the broker does not answer, or refuses; or somebody else is to make the topic.
        PeerError: it is not there, and not to be made.
    """
    found = _partitions(handle, destination, complaints)
    if found:
        return found
    where = destination.redacted
    if destination.on_missing == "wait":
        raise Unreachable("the topic is not there yet", where=where)
    if destination.on_missing == "fail" or destination.event_hubs:
        mend = "make it" if destination.event_hubs else "make it, or take on-missing=fail away"
        raise PeerError("the topic is not there", where=where, mend=mend)
    _make(destination, complaints)
    end = time.monotonic() + ANSWER_S
    while not (found := _partitions(handle, destination, complaints)):
        if complaints.over(end):  # made, and not known to the broker that we ask
            raise Unreachable("the topic is not there yet", where=where)
        time.sleep(0.05)
    return found


def _partitions(handle: Producer | Consumer, destination: Kafka, complaints: Complaints) -> list[int]:
    # to ask for the one topic would make it, with what the broker takes for good; an event hub is not made so
    one = {"topic": destination.topic} if destination.event_hubs else {}
    ask: Callable[[], Any] = partial(handle.list_topics, **one, timeout=_SLICE_S)
    topic = answered(ask, handle, complaints).topics.get(destination.topic)
    if topic is None:
        return []
    if topic.error is not None and topic.error.name() not in _ABSENT:
        raise complaints.raised(topic.error)
    return sorted(topic.partitions)


def answered(ask: Callable[[], Any], handle: Producer | Consumer, complaints: Complaints) -> Any:
    """What *ask* returns, which is tried until the broker has answered, refused, or the time is over."""
    exception = library().KafkaException
    end = time.monotonic() + ANSWER_S
    while True:
        try:
            found = ask()
        except exception as exc:
            error = exc.args[0]
            with complaints.told():
                handle.poll(0)  # hear what is the matter
            complaints.check()
            if complaints.over(end) or (not error.retriable() and error.name() not in _PASSING):
                raise complaints.raised(error) from exc
            if complaints.trouble and error.name() == "_TRANSPORT":
                complaints.check(trouble=True)
        else:
            complaints.answered()
            return found


_PASSING = ("_TIMED_OUT", "_TRANSPORT", "_WAIT_COORD")


def _make(destination: Kafka, complaints: Complaints) -> None:
    theirs = library().admin
    admin = made(theirs.AdminClient, settings(destination), complaints)
    try:
        # as many partitions and copies as the broker is set to
        made_one = admin.create_topics([theirs.NewTopic(destination.topic)])[destination.topic]
        end = time.monotonic() + ANSWER_S
        while not complaints.over(end) and not wait([made_one], _SLICE_S).done:
            pass
        made_one.result(0)
    except library().KafkaException as exc:
        if exc.args[0].name() != "TOPIC_ALREADY_EXISTS":
            raise complaints.raised(exc.args[0]) from exc
    except TimeoutError as exc:
        raise Unreachable("the topic was not made in time", where=destination.redacted) from exc
