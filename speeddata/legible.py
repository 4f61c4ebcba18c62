"""Text fit for a terminal: what could steer it, hide, or break a line is made visible."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """*text* with whatever could steer a terminal or hide (controls, marks of direction) made visible.

    Spaces and letters of every script pass; all else becomes `\\xNN`, `\\uNNNN` or `\\UNNNNNNNN`.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no UTF-8, of a file's name for instance
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def json_line(told: object) -> str:
    """*told* as JSON in one line: letters of every script stay; what could steer a terminal is `\\uNNNN`."""
    text = json.dumps(told, ensure_ascii=False)  # what is not printable is inside of its strings
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
