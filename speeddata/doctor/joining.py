"""Do groups work: joining them, and hearing on an interface what was sent to one by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speeddata.doctor.finding import FAULT, OK, WARNING, Finding, cannot_tell

_JOIN, _ECHO = "join", "loopback"
_MEMBERSHIPS = "net.ipv4.igmp_max_memberships"


@dataclass(frozen=True)
class Attempt:
    """A group joined on one interface, and a datagram sent to it where that interface is one to serve by.

    Attributes:
        interface: name and address.
        refused: what the system said to the join; "" when it worked.
        served: what is served leaves by it.
        unsent: what the system said to the datagram; "" when it left.
        echo_ms: until it was back; None: it did not come.
    """

    interface: str
    refused: str = ""
    served: bool = False
    unsent: str = ""
    echo_ms: float | None = None


@dataclass(frozen=True)
class Joins:
    """All that was tried.

    Attributes:
        memberships: how many a socket may have, one for each group and interface; None: cannot be told.
    """

    attempts: tuple[Attempt, ...]
    group: str
    memberships: int | None
    linux: bool = True


def judge(joins: Joins) -> Iterator[Finding]:
    """Joins first, then what was sent."""
    if not joins.attempts:
        return
    refused = [one for one in joins.attempts if one.refused]
    for one in refused:
        what = f"{one.interface} takes no group: {one.refused}"
        cure = "choose another with --interface" if joins.linux else "choose one with --interface"
        yield Finding(_JOIN, FAULT if one.served else WARNING, what, cure)
    yield from _room(joins, len(joins.attempts))
    for one in joins.attempts:
        if one.served and not one.refused:
            yield _echo(one, joins)


def _room(joins: Joins, interfaces: int) -> Iterator[Finding]:
    """Every socket of SpeedData joins one group, on each interface."""
    limit = joins.memberships
    measured = {"interfaces": interfaces, "memberships": limit}
    if limit is None:
        if joins.linux:
            yield cannot_tell(_JOIN, "how many groups a socket may join")
    elif interfaces > limit:
        what = (
            f"a socket joins {limit} times at most, once an interface, and there are {interfaces}: "
            f"groups are not heard on the last {interfaces - limit}"
        )
        cure = f"sysctl -w {_MEMBERSHIPS}={interfaces}, or name fewer with --interface"
        yield Finding(_JOIN, FAULT, what, cure, measured)
        return
    if all(not one.refused for one in joins.attempts):
        where = joins.attempts[0].interface if interfaces == 1 else f"{interfaces} interfaces"
        allowed = "" if limit is None else f"; a socket may join {limit} times, and does so once an interface"
        yield Finding(_JOIN, OK, f"groups can be joined on {where}{allowed}", "", measured)


def _echo(one: Attempt, joins: Joins) -> Finding:
    if one.unsent:
        what = f"{one.interface}: nothing can be sent to {joins.group}: {one.unsent}"
        return Finding(_ECHO, FAULT, what, _firewall(joins))
    if one.echo_ms is None:
        what = f"{one.interface}: a datagram sent to {joins.group} did not arrive at a member of the group"
        return Finding(_ECHO, FAULT, what, _firewall(joins))
    what = f"{one.interface}: a datagram sent to {joins.group} arrived after {one.echo_ms:.2g} ms"
    return Finding(_ECHO, OK, what, "", {"echo_ms": round(one.echo_ms, 3)})


def _firewall(joins: Joins) -> str:
    rules = "`nft list ruleset`, `iptables -S`" if joins.linux else "`pfctl -s rules`"
    return f"let UDP to 239.0.0.0/8 pass the firewall: {rules}"
