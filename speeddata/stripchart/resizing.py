"""What a screen does with sizes of the terminal that are no longer its size."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.screen import Screen


class Resizing(Screen[Any]):
    """A screen that takes the newest size only.

    A screen of Textual that takes a size tells itself of it once more. Two sizes that come faster than a
    picture is made would so follow each other for ever, and neither keys nor the end be heard.
    """

    async def _on_resize(self, event: events.Resize) -> None:
        if event.size != self.app.size:
            event.stop()
            event.prevent_default()
