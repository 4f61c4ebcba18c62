"""The help: what every key does."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content

from speeddata.stripchart.keys import KEYS, Key
from speeddata.stripchart.listing import Panel

_CAPTION = 12  # cells of what stands on a key
_ROOMY = 36  # cells from which on what it does stands beside it


class Help(Panel):
    """All keys by groups; any key that is not for moving in it closes it."""

    DEFAULT_CSS = """
    Help > Vertical { height: 90%; }
    """
    heading = "Keys"
    subtitle = "esc: back"
    BINDINGS: ClassVar[list[BindingType]] = [(key, "shut", "") for key in ("question_mark", "q", "space")]

    def rows(self) -> Sequence[Content]:
        rows: list[Content] = []
        group = ""
        for key in KEYS:
            if key.group != group:
                rows += [Content("")] if group else []
                rows.append(Content.styled(key.group, "bold $text-accent"))
                group = key.group
            rows += self._key(key)
        return rows

    def _key(self, key: Key) -> list[Content]:
        left = _CAPTION if self.room >= _ROOMY else 3
        lines = textwrap.wrap(key.help, max(1, self.room - left))
        caption = f"  {key.caption}"
        if len(caption) >= left:
            return [Content.styled(caption, "bold"), *(Content(" " * left + line) for line in lines)]
        rows = [Content.assemble((caption.ljust(left), "bold"), lines[0])]
        return rows + [Content(" " * left + line) for line in lines[1:]]
