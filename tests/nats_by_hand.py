"""A NATS server asked and told by hand, with literal lines of its protocol."""

from __future__ import annotations

import json
import socket


def asked(server, what, **request):
    """JetStream's own interface, by hand."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        stream = connection.makefile("rb")
        stream.readline()
        data = json.dumps(request).encode() if request else b""
        connection.sendall(
            b'CONNECT {"verbose":false}\r\nSUB me 1\r\nPUB $JS.API.%s me %d\r\n%s\r\n'
            % (what.encode(), len(data), data)
        )
        while not (line := stream.readline()).startswith(b"MSG"):
            assert line
        found = json.loads(stream.read(int(line.split()[-1])))
    assert "error" not in found, found
    return found


def published(server, subject, data):
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        stream = connection.makefile("rb")
        stream.readline()
        connection.sendall(
            b'CONNECT {"verbose":false}\r\nPUB %s %d\r\n%s\r\nPING\r\n' % (subject.encode(), len(data), data)
        )
        while stream.readline() != b"PONG\r\n":
            pass
