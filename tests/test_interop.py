"""Programs that know nothing of this project: a receiver of ten lines, and what is in any Avro library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from by_hand import LOOPBACK, Bench

# A receiver written from the announcement alone: a container header without a block, in one datagram.
RECEIVER = """\
import fastavro, io, json, socket, struct, sys
def member(group, port, on=socket.inet_aton("127.0.0.1")):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, port))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + on)
    return sock
discovery, said = member("239.1.1.3", 25999), {}
while said.get("speeddata.channel") != sys.argv[1] or said["speeddata.role"] != sys.argv[2]:
    said = fastavro.reader(io.BytesIO(discovery.recv(65536))).metadata
group, port = said["speeddata." + sys.argv[3]].split(":")
schema, datums = fastavro.parse_schema(json.loads(said["avro.schema"])), member(group, int(port))
for _ in range(5):
    print(json.dumps(fastavro.schemaless_reader(io.BytesIO(datums.recv(65536)), schema, None)), flush=True)
"""


@pytest.mark.parametrize("role", ["relay", "source"])
def test_a_receiver_that_knows_only_the_announcement_decodes_what_is_served(
    spawn, free_port, wait_for, channel_name, tmp_path, role
):
    (tmp_path / "receiver.py").write_text(RECEIVER)
    groups = {"full": 1, "decimated": 3} if role == "relay" else {"full": 1}
    with Bench(spawn, free_port, wait_for) as bench:
        # a source that sends to a group needs no relay
        to = f"239.1.1.1:{free_port()}" if role == "source" else f"{LOOPBACK}:{bench.relay('-n', 3).port}"
        receivers = {
            group: subprocess.Popen(
                [sys.executable, "receiver.py", channel_name, role, group],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
            )
            for group in groups
        }
        try:
            spawn("send", "--demo", "--rate", 200, "--name", channel_name, "--to", to)
            for group, factor in groups.items():
                out, _ = receivers[group].communicate(timeout=20)
                rows = [json.loads(line) for line in out.splitlines()]
                first = rows[0]["counter"]
                assert [row["counter"] - first for row in rows] == [n * factor for n in range(5)]
                assert first % factor == 0
                assert {row["message"] for row in rows} <= {"rising", "falling"}
        finally:
            for receiver in receivers.values():
                receiver.kill()
                receiver.wait()
