"""A cable that loses, repeats and reorders on purpose, and counts what it did (Linux, root).

    python forwarder.py DEVICE DEVICE

Every Ethernet frame goes from one device to the other. Each line on stdin is a rule, in JSON, and the answer
is what became of the datums under the rule before, in JSON:

    to          [ADDR, PORT]: which datums it is about; announcements, told by their magic, are let pass
    drop        share of the datums that is dropped
    burst       ... so many at a time
    repeat      share that is sent twice
    late        share that is sent behind the next DEPTH datums, at the latest before the goodbye
    too_late    the first so many come after the last goodbye
    deaf        share of the announcements dropped, but for the first one and the goodbyes
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import sys
import time
from collections import Counter, deque
from typing import Any

DEPTH = 20
GOODBYES = 3
_ETH_P_ALL, _PACKET_OUTGOING = 3, 4
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER_BYTES = 64 << 20
_UDP = 17
_MAGIC, _ENDING = b"Obj\x01", b"speeddata.state\x06end"
_BEHIND_S = 0.05  # after the last goodbye


class Cable:
    """Two packet sockets, and the rule for what goes between them."""

    def __init__(self, devices: list[str]) -> None:
        self._socks = [_packet_socket(device) for device in devices]
        self.begin({})

    def begin(self, rule: dict[str, Any]) -> dict[str, int]:
        """Follow *rule* from now on; what happened under the one before."""
        told = dict(getattr(self, "_counts", {}))
        # of frames that the kernel had no room for here nobody else would know
        told["overrun"] = sum(
            struct.unpack("II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
            for sock in self._socks
        )
        self._rule, self._counts = rule, Counter[str]()
        self._chance = random.Random(json.dumps(rule))  # the same each time
        self._waiting: deque[tuple[int, socket.socket, bytes]] = deque()
        self._too_late: list[tuple[socket.socket, bytes]] = []
        self._behind_at = 0.0
        self._burst = self._goodbyes = 0
        to = rule.get("to")
        self._wanted = b"" if to is None else socket.inet_aton(to[0]) + struct.pack("!H", to[1])
        return told

    def run(self) -> None:
        poll = select.poll()
        for descriptor in (0, *self._socks):
            poll.register(descriptor, select.POLLIN)
        print("ready", flush=True)
        while True:
            ready = {fd for fd, _ in poll.poll(10)}
            for sock, other in zip(self._socks, reversed(self._socks), strict=True):
                if sock.fileno() in ready:
                    self._carry(sock, other)
            if self._behind_at and time.monotonic() >= self._behind_at:
                for out, frame in self._too_late:
                    out.send(frame)
                self._too_late, self._behind_at = [], 0.0
            if 0 in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                print(json.dumps(self.begin(json.loads(line))), flush=True)

    def _carry(self, sock: socket.socket, out: socket.socket) -> None:
        for _ in range(512):
            try:
                frame, address = sock.recvfrom(1 << 16)
            except BlockingIOError:
                return
            if address[2] == _PACKET_OUTGOING:
                continue
            payload, meant = self._payload(frame)
            if payload.startswith(_MAGIC) and self._rule:
                self._announcement(payload, meant, frame, out)
            elif meant:
                self._datum(frame, out)
            else:
                out.send(frame)

    def _payload(self, frame: bytes) -> tuple[bytes, bool]:
        """Of a UDP datagram, and whether the rule is about where it goes to."""
        if frame[12:14] != b"\x08\x00" or frame[23] != _UDP:
            return b"", False
        udp = 14 + 4 * (frame[14] & 0xF)
        return frame[udp + 8 :], frame[30:34] + frame[udp + 2 : udp + 4] == self._wanted

    def _announcement(self, payload: bytes, meant: bool, frame: bytes, out: socket.socket) -> None:
        """Of a source, beside its datums, or of a relay, to the discovery group."""
        if _ENDING in payload:
            while self._waiting:
                self._release()
            self._goodbyes += meant
            if self._goodbyes == GOODBYES and self._too_late:
                self._behind_at = time.monotonic() + _BEHIND_S
        elif self._counts["announcements"] and self._chance.random() < self._rule.get("deaf", 0):
            self._counts["announcements dropped"] += 1
            return
        self._counts["announcements"] += 1
        out.send(frame)

    def _datum(self, frame: bytes, out: socket.socket) -> None:
        counts, rule = self._counts, self._rule
        counts["datums"] += 1
        if not self._burst and self._chance.random() < rule.get("drop", 0) / rule.get("burst", 1):
            self._burst = rule.get("burst", 1)
        if self._burst:
            self._burst -= 1
            counts["dropped"] += 1
        elif counts["too late"] < rule.get("too_late", 0):
            counts["too late"] += 1
            self._too_late.append((out, frame))
        elif self._chance.random() < rule.get("late", 0):
            counts["late"] += 1
            self._waiting.append((counts["datums"] + DEPTH, out, frame))
        else:
            out.send(frame)
            if self._chance.random() < rule.get("repeat", 0):
                counts["repeated"] += 1
                out.send(frame)
        while self._waiting and self._waiting[0][0] <= counts["datums"]:
            self._release()

    def _release(self) -> None:
        _, out, frame = self._waiting.popleft()
        out.send(frame)


def _packet_socket(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    for option in (_SO_RCVBUFFORCE, _SO_RCVBUFFORCE - 1):  # and SO_SNDBUFFORCE
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    sock.bind((device, _ETH_P_ALL))
    sock.setblocking(False)
    return sock


if __name__ == "__main__":
    Cable(sys.argv[1:]).run()
