"""man/speeddata-recipes.md as its tests see it: the blocks of code in it, by their names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "man" / "speeddata-recipes.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def block(name: str) -> str:
    """The text of one block; each is asked for by its name in a test, which a test looks after."""
    return BLOCKS[name]


def replaced(text: str, *pairs: tuple[str, object]) -> str:
    """Text of the page with paths and addresses in it that a test can have."""
    for old, new in pairs:
        assert old in text, "the page says it otherwise: change this test with it"
        text = text.replace(old, str(new))
    return text
