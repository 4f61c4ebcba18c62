"""Messages to JetStream in a row: all in flight together, each taken only directly behind the one before it.

The server compares the id of its last message with the one that each message expects there. So what comes
behind a refused one is refused as well, and the order is as if each had been waited for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from speeddata.subscription.destinations import Nats
from speeddata.subscription.engine import Message, Unreachable
from speeddata.subscription.nats_line import Line
from speeddata.subscription.nats_stream import EXPECTED_ID, WINDOW_ID, headers, size, subject

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_MOST = 512  # in flight
_NOT_BEHIND_IT = 10070  # an error of JetStream: another message is the last one


class Rows:
    """Publishes over *line*; `publish` is for `Line.run`.

    Args:
        most_bytes: that the server takes of a message, headers and all.
    """

    def __init__(self, line: Line, destination: Nats, most_bytes: int) -> None:
        self._line, self._destination, self._most_bytes = line, destination, most_bytes
        self._inbox = ""
        self._numbered = 0  # messages, over all rows
        self._answers: dict[int, Msg] = {}
        self._wanted = 0
        self._came = asyncio.Event()
        self._most = _MOST
        self._refused = False

    async def publish(self, messages: Sequence[Message], sequences: list[str], answer_s: float) -> None:
        """Publish *messages* in their order; add the sequence of each to *sequences*.

        Where others write to the stream meanwhile, rows become shorter: what follows their message is
        published again.

        Raises:
            TimeoutError: for so long no answer came.
            Whatever `Line.run` tells of.
        """
        if not self._inbox:
            inbox = self._line.client.new_inbox()
            await self._line.client.subscribe(f"{inbox}.*", cb=self._heard)
            self._inbox = inbox
        done = 0
        while done < len(messages):
            row = messages[done : done + self._most]
            taken = await self._row(row, sequences, answer_s)
            done += taken
            # to be refused costs as much as to be taken
            self._most = max(1, taken // 2) if self._refused else min(2 * self._most, _MOST)

    async def _row(self, row: Sequence[Message], sequences: list[str], answer_s: float) -> int:
        """Publish *row*; how many of it the server took, at least the first."""
        first, expected = self._numbered, ""
        self._answers.clear()
        self._came.clear()
        self._wanted = len(row)
        for message in row:
            header = headers(message, self._destination)
            if self._numbered > first:
                header[EXPECTED_ID] = expected
                if not expected or size(message, header) > self._most_bytes:
                    self._wanted = self._numbered - first
                    break
            expected = header.get(WINDOW_ID, "")
            where, inbox = subject(self._destination, message), f"{self._inbox}.{self._numbered}"
            self._numbered += 1
            await self._line.client.publish(where, message.body, inbox, header)
        await self._answered(answer_s)
        for number in range(first, first + self._wanted):
            try:
                sequences.append(self._sequence(self._answers[number]))
            except self._line.api_error as exc:
                if exc.err_code != _NOT_BEHIND_IT or number == first:
                    raise
                self._refused = True
                return number - first
        self._refused = False
        return self._wanted

    async def _heard(self, answer: Msg) -> None:
        self._answers[int(answer.subject.rpartition(".")[2])] = answer
        if len(self._answers) >= self._wanted:
            self._came.set()

    async def _answered(self, answer_s: float) -> None:
        """Wait for all answers, as long as some come."""
        known = -1
        while len(self._answers) < self._wanted:
            if len(self._answers) == known:
                raise TimeoutError
            known = len(self._answers)
            try:
                await asyncio.wait_for(self._came.wait(), answer_s)
            except TimeoutError:
                continue

    def _sequence(self, answer: Msg) -> str:
        from nats.js.errors import NoStreamResponseError

        if not answer.data and (answer.headers or {}).get("Status") == "503":
            raise NoStreamResponseError
        try:
            said = json.loads(answer.data)
            if "error" in said:
                raise self._line.api_error.from_error(said["error"])
            return str(int(said["seq"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            what = "the server's answer is none that JetStream gives"
            raise Unreachable(what, where=self._destination.redacted) from exc
