"""Zinc as Haxall reads it: as strictly, and knowing nothing of speeddata's own reader.

What Haxall answers with 400 raises `ZincError` here, in Haxall's words: units and zones that do not exist,
rows that are too short or too long, anything behind the end of the grid.
"""

from __future__ import annotations

import math
import re
from datetime import date, time
from typing import Any, NamedTuple

from haystack_kinds import MARKER, NA, REMOVE, Coord, Grid, Num, Ref, Symbol, Uri, XStr, stamp_of, unit
from haystack_writing import code


class ZincError(ValueError):
    """What Haxall calls a ParseErr."""


class Token(NamedTuple):
    """*what*: id, value, nl, eof or an operator itself; *text*: how an error names it."""

    what: str
    value: Any = None
    text: str = ""


_WORDS = {"T": True, "F": False, "N": None, "M": MARKER, "NA": NA, "R": REMOVE}
_WORDS |= {"NaN": Num(math.nan), "INF": Num(math.inf)}
_ESCAPES = dict(zip("bfnrt\"$'`\\", "\b\f\n\r\t\"$'`\\", strict=True))
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*|_[A-Za-z0-9_]+")
_REF = re.compile(r"[A-Za-z0-9_:.~-]+")
_OPERATOR = re.compile(r"::|<<|<=|>>|>=|->|==|=>|!=|[,:;\[\]{}()<>=!/.?&|-]")
_BLANK = re.compile(r"[ \t\xa0]*")
_TEXT = re.compile(r'[^"\\]*')


def _joined(text: str) -> str:
    """*text* with the halves of characters beyond 16 bits put together: they may come as `\\ud83d\\ude00`."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class Scanner:
    """Cuts Zinc, and filters, into tokens."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.line = text, 0, 1
        self._ahead: Token | None = None

    def error(self, what: str) -> ZincError:
        return ZincError(f"{what} [line {self.line}]")

    def rewind(self, at: int, line: int) -> None:
        self.at, self.line, self._ahead = at, line, None

    def peek(self) -> Token:
        if self._ahead is None:
            self._ahead = self._token()
        return self._ahead

    def next(self) -> Token:
        token, self._ahead = self.peek(), None
        return token

    def _token(self) -> Token:
        self.at = _BLANK.match(self.text, self.at).end()
        if self.text.startswith("//", self.at):
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        if self.at >= len(self.text):
            return Token("eof", text="eof")
        char = self.text[self.at]
        if char in "\r\n":
            self.at += 2 if self.text.startswith("\r\n", self.at) else 1
            self.line += 1
            return Token("nl", text="newline")
        if match := _ID.match(self.text, self.at):
            self.at = match.end()
            return Token("id", match[0], f'identifier "{match[0]}"')
        if char in "0123456789" or (char == "-" and self._is_digit(self.at + 1)):
            return self._number()
        if char == '"':
            text = self._string()
            return Token("value", text, f"Str {code(text)}")
        if char == "`":
            return self._uri()
        if char in "@^":
            return self._reference(char)
        if match := _OPERATOR.match(self.text, self.at):
            self.at = match.end()
            return Token(match[0], text=match[0])
        raise self.error(f"Unexpected symbol: {char!r} (0x{ord(char):x})")

    def _is_digit(self, at: int) -> bool:
        return "0" <= self.text[at : at + 1] <= "9"

    def _reference(self, char: str) -> Token:
        kind = Ref if char == "@" else Symbol
        if not (match := _REF.match(self.text, self.at + 1)):
            raise self.error(f"Invalid empty {kind.__name__}")
        self.at = match.end()
        return Token("value", kind(match[0]), f"{kind.__name__} {code(match[0])}")

    def _uri(self) -> Token:
        end = self.text.find("`", self.at + 1)
        text = self.text[self.at + 1 : end]
        if end < 0 or "\n" in text:
            raise self.error("Unexpected end of uri")
        self.at = end + 1
        return Token("value", Uri(text.replace("\\", "")), f"Uri {code(text)}")

    def _string(self) -> str:
        parts = []
        self.at += 1
        while True:
            match = _TEXT.match(self.text, self.at)
            parts.append(match[0])
            self.line += match[0].count("\n")
            self.at = match.end()
            if self.at >= len(self.text):
                raise self.error("Unexpected end of str")
            self.at += 1
            if self.text[self.at - 1] == '"':
                return _joined("".join(parts))
            parts.append(self._escape())

    def _escape(self) -> str:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char == "u":
            if match := re.compile(r"[0-9a-fA-F]{4}|\{([0-9a-fA-F]{1,6})\}").match(self.text, self.at):
                self.at = match.end()
                return chr(int(match[1] or match[0], 16))
            raise self.error("Invalid hex value for \\uxxxx")
        raise self.error("Invalid escape sequence")

    def _number(self) -> Token:
        """Numbers, dates, times and date-times: what belongs together is found as Haxall finds it."""
        text, at = self.text, self.at + 1
        start, unit_at, colons, dashes, exponent = self.at, 0, 0, 0, False
        if text[start : at + 1] == "0x":
            match = re.compile(r"0x([0-9a-fA-F_]+)").match(text, start)
            if not match:
                raise self.error("Invalid hex literal")
            self.at = match.end()
            return Token("value", Num(float(int(match[1].replace("_", ""), 16))), "Number")
        while at < len(text):
            char, digit = text[at], self._is_digit(at + 1)
            if char in "0123456789" or (exponent and char in "+-"):
                pass
            elif char == "-":
                dashes += 1
            elif char == ":" and digit:
                colons += 1
            elif colons and char == "+":
                pass
            elif char == ".":
                if not digit:
                    break
            elif char in "eE" and not unit_at and (digit or text[at + 1 : at + 2] in ("+", "-")):
                exponent = True
            elif (char.isascii() and char.isalpha()) or char in "%$/_" or ord(char) > 128:
                unit_at = unit_at or at
            else:
                break
            at += 1
        word, self.at = text[start:at], at
        if dashes == 2 and not colons:
            return Token("value", self._made(_date, word, "Date"), f'Date "{word}"')
        if not dashes and colons:
            whole = ("0" if word[1] == ":" else "") + word + (":00" if colons == 1 else "")
            return Token("value", self._made(time.fromisoformat, whole, "Time"), f'Time "{word}"')
        if dashes >= 2:
            return self._date_time(word)
        number, name = (text[start:unit_at], text[unit_at:at]) if unit_at else (word, None)
        try:
            value = float(number)
        except ValueError:
            raise self.error(f"Invalid Number literal '{number}'") from None
        if name is None:
            return Token("value", Num(value), f"Number {code(word)}")
        if (symbol := unit(name)) is None:
            raise self.error(f"Invalid unit name '{name}' [{code(name, ascii_only=True)}]")
        return Token("value", Num(value, symbol), f"Number {code(word)}")

    def _made(self, make: Any, text: str, kind: str) -> Any:
        try:
            return make(text)
        except ValueError:
            raise self.error(f"Invalid {kind} literal '{text}'") from None

    def _date_time(self, word: str) -> Token:
        if match := re.compile(r" [A-Z][A-Za-z0-9_+-]*").match(self.text, self.at):
            self.at = match.end()
            word += match[0]
        elif not word.endswith("Z"):
            raise self.error("Expecting timezone")
        if (stamp := stamp_of(word)) is None:
            raise self.error(f"Invalid DateTime literal '{word}'")
        return Token("value", stamp, f"DateTime {code(word)}")


def _date(text: str) -> date:
    return date(*map(int, text.split("-")))


_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PLAIN_TEXT = re.compile(r'"[^"\\,\n]*"')


class Reader:
    """One grid, whole."""

    def __init__(self, text: str) -> None:
        self._scan = Scanner(text)

    def grid(self) -> Grid:
        grid = self._grid(nested=False)
        self._expect("eof")
        return grid

    def value(self) -> Any:
        value = self._value()
        self._expect("eof")
        return value

    def _expect(self, what: str) -> Token:
        token = self._scan.next()
        if token.what != what:
            named = {"nl": "newline", "id": "identifier", "value": "Str"}.get(what, what)
            raise self._scan.error(f"Expected {named} not {token.text}")
        return token

    def _grid(self, nested: bool) -> Grid:
        first = self._scan.next()
        if first.value != "ver" or first.what != "id":
            raise self._scan.error(f"Expecting grid 'ver' identifier, not {first.text}")
        self._expect(":")
        version = self._expect("value").value
        if version not in ("3.0", "2.0"):
            raise self._scan.error(f"Unsupported version {version!r}")
        grid = Grid(self._dict(), [])
        self._expect("nl")
        while self._scan.peek().what == "id":
            grid.columns.append((self._tag_name(), self._dict()))
            if self._scan.peek().what != ",":
                break
            self._scan.next()
        if not grid.columns:
            raise self._scan.error("No columns defined")
        self._expect("nl")
        self._rows(grid, nested)
        return grid

    def _rows(self, grid: Grid, nested: bool) -> None:
        width = len(grid.columns)
        fast = not nested
        while True:
            if fast and (row := self._plain_row(width)) is not None:
                grid.rows.append(row)
                continue
            ahead = self._scan.peek().what
            if ahead in ("nl", "eof") or (nested and ahead == ">>"):
                break
            row = []
            for index in range(width):
                if self._scan.peek().what in (",", "nl", "eof"):
                    row.append(None)
                else:
                    row.append(self._value())
                if index + 1 < width:
                    self._expect(",")
            grid.rows.append(row)
            if (ahead := self._scan.peek().what) == "eof" or (nested and ahead == ">>"):
                break
            self._expect("nl")
        if self._scan.peek().what == "nl":
            self._scan.next()

    def _plain_row(self, width: int) -> list[Any] | None:
        """The row at hand where all its cells are of the plain forms that bulk data has; None else."""
        scan = self._scan
        if scan._ahead is not None:
            return None
        end = scan.text.find("\n", scan.at)
        line = scan.text[scan.at : end] if end >= 0 else ""
        if not line or len(cells := line.split(",")) != width:
            return None
        row = []
        for cell in cells:
            if not cell:
                row.append(None)
            elif _PLAIN_NUMBER.fullmatch(cell):
                row.append(Num(float(cell)))
            elif cell in _WORDS:
                row.append(_WORDS[cell])
            elif (stamp := stamp_of(cell)) is not None:
                row.append(stamp)
            elif _PLAIN_TEXT.fullmatch(cell):
                row.append(cell[1:-1])
            else:
                return None
        scan.rewind(end + 1, scan.line + 1)
        return row

    def _tag_name(self) -> str:
        name = self._expect("id").value
        if not (name[0].islower() or name[0] == "_"):
            raise self._scan.error(f"Invalid dict tag name: {code(name)}")
        return name

    def _dict(self, commas: bool = False) -> dict[str, Any]:
        tags: dict[str, Any] = {}
        while self._scan.peek().what == "id":
            name = self._tag_name()
            value: Any = MARKER
            if self._scan.peek().what == ":":
                self._scan.next()
                value = self._value()
            tags[name] = value
            if commas and self._scan.peek().what == ",":
                self._scan.next()
        return tags

    def _value(self) -> Any:
        token = self._scan.next()
        if token.what == "value":
            ahead = self._scan.peek()
            if isinstance(token.value, Ref) and ahead.what == "value" and isinstance(ahead.value, str):
                return Ref(token.value.id, self._scan.next().value)
            return token.value
        if token.what == "id":
            if self._scan.peek().what == "(":
                return self._called(token.value)
            if token.value in _WORDS:
                return _WORDS[token.value]
            raise self._scan.error(f"Unexpected identifier {code(token.value)}")
        if token.what == "-" and self._scan.peek().value == "INF":
            self._scan.next()
            return Num(-math.inf)
        if token.what == "[":
            return self._list()
        if token.what == "{":
            tags = self._dict(commas=True)
            self._expect("}")
            return tags
        if token.what == "<<":
            if self._scan.peek().what == "nl":
                self._scan.next()
            grid = self._grid(nested=True)
            self._expect(">>")
            return grid
        raise self._scan.error(f"Unexpected token: {token.text}")

    def _list(self) -> list[Any]:
        values = []
        while self._scan.peek().what not in ("]", "eof"):
            values.append(self._value())
            if self._scan.peek().what != ",":
                break
            self._scan.next()
        self._expect("]")
        return values

    def _called(self, name: str) -> Any:
        self._expect("(")
        first = self._expect("value").value
        if name == "C" and isinstance(first, Num):
            self._expect(",")
            second = self._expect("value").value
            self._expect(")")
            return Coord(first.value, second.value)
        if not name[0].isupper() or not isinstance(first, str):
            raise self._scan.error(f"Invalid XStr type {code(name)}")
        self._expect(")")
        return XStr(name, first)


def read(text: str) -> Grid:
    """The grid that *text* is.

    Raises:
        ZincError: it is none, or more than one.
    """
    return Reader(text).grid()
