"""What no mutation comes upon by itself: words of the formats, for each target."""

from __future__ import annotations

from avro_targets import HEADS, SYNC

_AVRO = (
    *(b'"type":', b'"name":', b'"fields":[', b'"record"', b'"array"', b'"items":', b'"map"', b'"values":'),
    *(b'"enum"', b'"symbols":', b'"fixed"', b'"size":', b'"length":', b'"default":', b'"namespace":'),
    *(b'"null"', b'"boolean"', b'"int"', b'"long"', b'"float"', b'"double"', b'"bytes"', b'"string"'),
    *(b'"logicalType":', b'"timestamp-nanos"', b'"unit":', b'"doc":', b'"abscissa":', b"\n\n"),
)
_LITERALS = (b"null", b"true", b"NaN", b"Infinity", b"1e999", b"-0.0", b"[" * 300, b"\\ud800", b"9" * 30)

WORDS: dict[str, tuple[bytes, ...]] = {
    "container": (b"Obj\x01", SYNC, HEADS[0], b"\x16avro.schema", b"\x14avro.codec"),
    "header": (b"Obj\x01", b"\x16avro.schema", b"\xff" * 9 + b"\x01"),
    "announcement": (
        *(b"Obj\x01", b"\x16avro.schema", b"\x22speeddata.channel", b"\x22speeddata.session", b"\x06rig"),
        *(b"\x1cspeeddata.role", b"\x0csource", b"\x0aquery", b"\x1cspeeddata.sent", b"speeddata.full"),
        *(b"239.1.1.1:6000", b"[::1]:1", b"speeddata.state", b"\x06end"),
    ),
    "schema": (*_AVRO, *_LITERALS),
    "zinc": (
        *(
            b'ver:"3.0"\n',
            b'ver:"2.0"\n',
            b"<<",
            b">>",
            b"C(",
            b"Bin(",
            b"NaN",
            b"-INF",
            b"NA",
            b"@a ",
            b"`u`",
        ),
        *(
            b"2026-11-22T05:04:00.123Z UTC",
            b"05:04:00",
            b"2026-11-22",
            b"1_000kW",
            b"\\u00e9",
            b"^a",
            b'X("a")',
        ),
    ),
    "challenges": (b"scram ", b"hash=SHA-256", b"handshakeToken=", b"data=", b"authToken=", b","),
    "messages": (
        *(
            b'{"data":{"items":[',
            b'{"id":',
            b'"datapoints":[',
            b'"time":',
            b'"value":',
            b'"status":',
            b"]}]}}",
        ),
        *_LITERALS,
    ),
    "ours": (
        *(b'{"kind":"file",', b'"since":', b'"until":', b'"session":', b'"received":', b'"recorded":'),
        *(
            b'"lost":',
            b'"lost_kernel":',
            b'"lost_disk":',
            b'"rejected":',
            b'"file":',
            b'"size":',
            b'"least":',
        ),
        *(
            b'"greatest":',
            b'"name":',
            b'"begin":',
            b'"end":',
            b'"channels":',
            b'"created":',
            b'"removed":true',
        ),
        *(b'"samples":', b'"2026-11-22T05:04:00Z"', *_LITERALS),
    ),
    "files": (
        *(b'"version":1', b'"sequence":', b'"dedup":', b'"format":', b'"target":', b'"server":', b'"files":'),
        *(b'"preparer":', b'"block":', b'"datum":', b'"path":"/', b'"time_ns":', b'"channel":', *_LITERALS),
    ),
    "rows": (
        b'{"time":1,"v":2}\n',
        b"time,v\n1,2\n",
        b'"f0":',
        b'"f1":',
        b'"f2":',
        b"f0,f1\n",
        b'""',
        *_LITERALS,
    ),
    "words": (
        b"239.1.1.1:6000",
        b"-10m",
        b"2026-11-22T05:04:00Z",
        b"nats://",
        b"kafka+ssl://",
        b"Endpoint=sb://",
    ),
    "settings": (
        b"[[tui.page]]\n",
        b"[[point]]\n",
        b"signal = ",
        b'"""',
        b"'''",
        b"[tui]\n",
        b"[[",
        *_LITERALS,
    ),
    "set": (*_AVRO, b"time", b"cells", b"octets", b"ns", b"utf-8", b"json", *_LITERALS),
}
