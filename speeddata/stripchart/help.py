"""The help: what every key does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content

from speeddata.stripchart.keys import KEYS
from speeddata.stripchart.listing import Panel


class Help(Panel):
    """All keys by groups; any key that is not for moving in it closes it."""

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
            rows.append(Content.assemble((f"  {key.caption:<9}", "bold"), f" {key.help}"))
        return rows
