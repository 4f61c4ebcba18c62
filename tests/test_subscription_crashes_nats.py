"""`subscribe run` and its server of NATS, both killed with -9: nothing is missing, nor out of order."""

from __future__ import annotations

import asyncio

import pytest
from brokers import nats_server
from subscription_serving import Commands


def test_with_nats_nothing_is_missing_after_many_kills_of_both(tmp_path, spawn, wait_for):
    nats = pytest.importorskip("nats")
    with nats_server(tmp_path / "nats") as server:
        address = f"nats://127.0.0.1:{server.port}"
        bench = Commands(tmp_path, spawn, "plant", kills=4)
        bench.done("set", text=f"{address}/SPEED".encode())
        bench.done("add", "*/*", "--position", "beginning")

        async def ask(wanted):
            client = await nats.connect(address, allow_reconnect=False)
            try:
                return await wanted(client.jetstream())
            finally:
                await client.close()

        async def newest(stream):
            try:
                return (await stream.stream_info("SPEED")).state.last_seq
            except nats.js.errors.NotFoundError:
                return 0

        async def everything(stream):
            found = [await stream.get_msg("SPEED", number) for number in range(1, await newest(stream) + 1)]
            return [(message.headers["sd-msg-id"], message.data) for message in found]

        def server_too(number):
            if number % 3 == 1:
                server.kill()
                server.start()

        bench.kill_again_and_again(lambda: asyncio.run(ask(newest)), wait_for, server_too)
        bench.check(asyncio.run(ask(everything)))
