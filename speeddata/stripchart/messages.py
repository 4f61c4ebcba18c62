"""What other threads tell the app; a newer message replaces an older one of its kind."""

from __future__ import annotations

from textual.message import Message


class Fetched(Message, bubble=False):
    """The recording was looked up: there is more to draw."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Fetched)
