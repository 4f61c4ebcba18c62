"""Would groups go where they are meant to: the chosen interfaces, and the way of whoever names none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speeddata.doctor.finding import FAULT, NOTE, OK, WARNING, Finding, cannot_tell

_INTERFACE, _ROUTE = "interface", "route"
_GROUPS = "239.0.0.0/8"
_SHOWN = 4  # interfaces


@dataclass(frozen=True)
class Device:
    """An interface of this machine, be it up or not.

    Attributes:
        addresses: IPv4; of one that is down, none.
        running: it has its link: the cable is in, the radio is connected.
        multicast: it says that it can.
    """

    name: str
    addresses: tuple[str, ...]
    up: bool = True
    running: bool = True
    multicast: bool = True
    loopback: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.addresses) or 'no address'})"


@dataclass(frozen=True)
class Route:
    """The way to a group of a program that names no interface.

    Attributes:
        by: the interface; "" where no route leads there.
        default: it is the default route; None: cannot be told.
    """

    by: str
    default: bool | None = None


@dataclass(frozen=True)
class Network:
    """What is known of it.

    Attributes:
        devices: all interfaces.
        asked: those named by --interface, by name or address.
        route: to *group*; None: cannot be told.
    """

    devices: tuple[Device, ...]
    asked: tuple[str, ...]
    group: str
    route: Route | None
    linux: bool = True


def usable(network: Network) -> list[str]:
    """Those that are named and can be used, as they were named."""
    return [
        text for text in network.asked if (found := _named(network, text)) and found.up and found.addresses
    ]


def judge(network: Network) -> Iterator[Finding]:
    """Whether the chosen interfaces can do it, and whether others find what is served."""
    if not network.devices:
        yield cannot_tell(_INTERFACE, "which interfaces there are")
        return
    if network.asked:
        for text in network.asked:
            yield from _chosen(network, text)
    else:
        yield from _by_default(network)
    yield from _way(network)


def _named(network: Network, text: str) -> Device | None:
    return next((one for one in network.devices if text in (one.name, *one.addresses)), None)


def _chosen(network: Network, text: str) -> Iterator[Finding]:
    device = _named(network, text)
    if device is None:
        there = ", ".join(str(one) for one in network.devices if one.up and one.addresses)
        cure = f"name one of: {there}" if there else "set one up: none with an IPv4 address is up"
        yield Finding(_INTERFACE, FAULT, f"there is no interface '{text}', which --interface names", cure)
        return
    linux, name = network.linux, device.name
    if not device.up:
        cure = f"ip link set {name} up" if linux else f"ifconfig {name} up"
        yield Finding(_INTERFACE, FAULT, f"{name} is down", cure)
        return
    if not device.addresses:
        cure = f"ip addr add ADDRESS/24 dev {name}" if linux else f"ifconfig {name} ADDRESS/24"
        yield Finding(_INTERFACE, FAULT, f"{name} has no IPv4 address", cure)
        return
    if not device.running:
        what = f"{device} has no link: nothing leaves or arrives by it"
        yield Finding(_INTERFACE, WARNING, what, "plug in its cable, or connect it")
    elif not device.multicast and not device.loopback:
        what = f"{device} says that it cannot multicast: its driver may not let groups in"
        cure = f"ip link set {name} multicast on" if linux else "choose another with --interface"
        yield Finding(_INTERFACE, WARNING, what, cure)
    else:
        yield Finding(_INTERFACE, OK, f"{device}: groups are served and joined there")


def _by_default(network: Network) -> Iterator[Finding]:
    loopback = next((one for one in network.devices if one.loopback), None)
    if loopback is None or not loopback.up or not loopback.addresses:
        name = loopback.name if loopback else "lo"
        cure = f"ip link set {name} up" if network.linux else f"ifconfig {name} up"
        yield Finding(_INTERFACE, FAULT, "loopback is down, and groups are served by it", cure)
        return
    others = [
        one for one in network.devices if one.up and one.addresses and one.multicast and not one.loopback
    ]
    what = f"{loopback}: groups are served there"
    if not others:
        yield Finding(_INTERFACE, OK, what)
        return
    names = ", ".join(str(one) for one in others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
    what = f"{what} only: other machines do not see it; they are joined on {names} too"
    cure = f"if they are to: --interface {others[0].name}, or SPEEDDATA_INTERFACE={others[0].name}"
    yield Finding(_INTERFACE, NOTE, what, cure)


def _way(network: Network) -> Iterator[Finding]:
    """SpeedData names the interface to the kernel and needs no route; other receivers often do."""
    route = network.route
    chosen = [one for text in network.asked if (one := _named(network, text))]
    chosen = chosen or [one for one in network.devices if one.loopback]
    if route is None:
        yield cannot_tell(_ROUTE, f"which way leads to {network.group}")
        return
    if not chosen:
        return
    names = [one.name for one in chosen]
    first = names[0]
    cure = (
        f"ip route replace {_GROUPS} dev {first}"
        if network.linux
        else f"route add -net {_GROUPS} -interface {first}"
    )
    measured = {"group": network.group, "by": route.by}
    if not route.by:
        what = (
            f"no route leads to {_GROUPS}: SpeedData needs none, receivers that name no interface cannot join"
        )
        yield Finding(_ROUTE, NOTE, what, cure, measured)
    elif route.by not in names:
        by = f"{route.by}, the default route" if route.default else route.by
        what = f"receivers that name no interface join by {by}, and hear nothing of what is served by {first}"
        here = f"let them join on {chosen[0].addresses[0]}, or: " if chosen[0].addresses else ""
        yield Finding(_ROUTE, NOTE, what, here + cure, measured)
    elif route.default:
        what = f"{_GROUPS} leaves by {route.by} only because that is the default route now"
        yield Finding(_ROUTE, NOTE, what, cure, measured)
    else:
        yield Finding(_ROUTE, OK, f"{_GROUPS} leads to {route.by}", "", measured)
