"""The relay that everyone writes first: recv, sendto, every fifth once more, write. A yardstick.

python plainloop.py HOST:PORT FULL DECIMATED FILE
"""

from __future__ import annotations

import socket
import sys

from speeddata.names import Endpoint
from speeddata.wire.interfaces import receiving
from speeddata.wire.sockets import group_sockets, listen

_IDLE = b"\0" * 8 + (50_000).to_bytes(8, "little")  # struct timeval: recv gives up after 50 ms


def main() -> None:
    where, full, decimated = (Endpoint.parse(text) for text in sys.argv[1:4])
    loopback = receiving(["127.0.0.1"])
    sock = listen(where, interfaces=loopback)  # for the same receive buffer
    sock.setblocking(True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _IDLE)
    [out] = group_sockets(loopback, 0)
    out.setblocking(True)
    recv, sendto = sock.recv, out.sendto
    to_full, to_decimated = full.address, decimated.address
    turn = 0
    with open(sys.argv[4], "ab", buffering=1 << 16) as file:
        write = file.write
        print("ready", flush=True)
        while True:
            try:
                data = recv(65536)
            except BlockingIOError:  # nothing comes: what was gathered goes to the disk
                file.flush()
                continue
            sendto(data, to_full)
            if not turn:
                sendto(data, to_decimated)
            turn = (turn + 1) % 5
            write(data)


if __name__ == "__main__":
    main()
