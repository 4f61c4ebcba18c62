"""Two hosts in one: network namespaces joined by a cable that goes through a process of ours (Linux, root).

The cable is a pair of veth devices for each host; between the two, in a namespace of its own, sits
`forwarder.py`. Nothing leaves these namespaces, and they are gone with the processes in them.

    python twohosts.py ADDRESS      one host: each line on stdin names a device, which gets ADDRESS
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

import privatenet
from systems import HERE, Child, _before_exec

LEFT, RIGHT = "10.77.0.1", "10.77.0.2"
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17  # linux/sockios.h, linux/ethtool.h


class TwoHosts:
    """Hosts LEFT and RIGHT, as a context manager; this process is in the network between them.

    Attributes:
        forwarder: the cable; `ask` it with a rule, as its module tells.
    """

    def __enter__(self) -> Self:
        """Raises:
        PermissionError: namespaces cannot be made here.
        """
        if not privatenet.enter():
            raise PermissionError("two hosts need network namespaces, which only root can make")
        with ExitStack() as stack:
            self._hosts = {}
            for number, address in enumerate((LEFT, RIGHT)):
                host = self._hosts[address] = Child([sys.executable, HERE / "twohosts.py", address])
                stack.callback(host.close)
                ours, theirs = f"cable{number}", f"eth{number}"
                _ip(f"link add {ours} type veth peer name {theirs} netns {host.pid}")
                _ip(f"link set {ours} up")
                host.ask(theirs)
            self.forwarder = Child([sys.executable, HERE / "forwarder.py", "cable0", "cable1"])
            stack.callback(self.forwarder.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def entry(self, address: str) -> Callable[[], None]:
        """A `preexec_fn`: what is executed then is in the host of *address*, and ends with this process."""
        parent, place = os.getpid(), f"/proc/{self._hosts[address].pid}/ns/net"

        def enter() -> None:
            _before_exec(parent, True)
            with open(place) as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    os._exit(1)

        return enter


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, stderr=subprocess.DEVNULL)


def _checksums_by_software(device: str) -> None:
    """Else the kernel leaves checksums, and the cutting of trains, to a device that there is none of."""
    value = array.array("B", struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", device.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, request.ljust(40, b"\0"))


def main(arguments: Sequence[str]) -> None:
    (address,) = arguments
    assert privatenet.enter()
    _ip("route del 224.0.0.0/4 dev lo")  # groups are on the cable
    print("ready", flush=True)
    for line in sys.stdin:
        device = line.strip()
        _checksums_by_software(device)
        _ip(f"addr add {address}/24 dev {device}")
        _ip(f"link set {device} up")
        _ip(f"route add 224.0.0.0/4 dev {device}")
        print("{}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
