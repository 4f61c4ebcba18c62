"""Text for people as the source of a manual page: the macros of man(7), clean for groff and mandoc alike.

What goes in is plain text with the few marks that docstrings and the README use, too: `code`, **strong**,
- lists, # headings, indented or fenced examples. Nothing else of Markdown means anything here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_WIDTH = 78  # of a line of source, before the escapes
_NAMES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
_CODE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w`*-])(--?[A-Za-z][\w-]*)")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_ITEM = re.compile(r"[-*] (.*)", re.DOTALL)
_TERM = re.compile(r"(`[^`]+`(?:(?: \([^)]*\)|,? `[^`]+`))*): (.*)", re.DOTALL)
_ROW = re.compile(r"(\S+) {2,}(\S.*)")
_SENTENCE = re.compile(r"(?<=[^.][.?!]) (?=[A-Z])")


def escape(text: str) -> str:
    """*text* as roff shows it, every character as it is; of a line that begins with a dot, too."""
    shown = "".join(_NAMES.get(c) or (c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)
    return rf"\&{shown}" if shown.startswith(".") else shown


def inline(text: str) -> str:
    """One paragraph, *text*, in lines of source: code and options bold, a line for each sentence at least."""
    text = _LINK.sub(r"\1", " ".join(text.split()))
    return "\n".join(line for each in _SENTENCE.split(text) for line in _wrapped(each))


def _wrapped(sentence: str) -> Iterator[str]:
    line, size = "", 0
    for word in _words(sentence):
        if size + len(word) >= _WIDTH and line:
            yield line
            line, size = "", 0
        line = f"{line} {word}" if line else _not_a_request(word)
        size += len(word) + 1
    yield line


def _words(sentence: str) -> list[str]:
    """Escaped words; what is bold may be of several."""
    marked = ""
    end = 0
    for match in _CODE.finditer(sentence):
        strong = next(filter(None, match.groups()))
        marked += escape(sentence[end : match.start()]) + rf"\fB{escape(strong)}\fR"
        end = match.end()
    return (marked + escape(sentence[end:])).split(" ")


def _not_a_request(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line


def title(name: str, section: int, date: str, version: str) -> str:
    """The line that every page begins with. *date*: of the version, YYYY-MM-DD; "" where it has none yet."""
    return f'.TH {escape(name.upper())} {section} "{date}" "{escape(version)}" "SpeedData"\n'


def heading(text: str) -> str:
    """A section."""
    return f".SH {escape(text.upper())}\n"


def subheading(text: str) -> str:
    """A section in a section."""
    return f".SS {escape(text)}\n"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f".PP\n{inline(text)}\n"


def definition(term: str, text: str) -> str:
    """*term*, in roff, and below it what it means."""
    return f".TP\n{term}\n{inline(text)}\n"


def example(lines: Iterable[str]) -> str:
    """Lines as they are typed."""
    shown = "\n".join(_not_a_request(escape(line)) for line in lines)
    return f".PP\n.RS 4\n.nf\n{shown}\n.fi\n.RE\n"


def document(text: str) -> str:
    """All of *text*: headings, paragraphs, lists, examples, tables of a word and its meaning."""
    return "".join(_block(block) for block in blocks(text))


def blocks(text: str) -> Iterator[list[str]]:
    """The lines of each paragraph, item, heading or example of *text*; examples keep their empty lines."""
    held: list[str] = []
    fenced = False
    for line in text.strip("\n").splitlines():
        fence = line.startswith("```")
        starts = fence or _ITEM.match(line) or line.startswith("#")
        if held and not fenced and (starts or not line.strip()):
            yield held
            held = []
        if line.strip() or fenced:
            held.append(line.rstrip())
        if fenced and fence:
            yield held
            held = []
        fenced ^= fence
    if held:
        yield held


def _block(lines: Sequence[str]) -> str:
    first = lines[0]
    if first.startswith("```"):
        return example(lines[1:-1])
    if first.startswith("    "):
        return example(line.removeprefix("    ") for line in lines)
    if first.startswith("#"):
        depth = len(first) - len(first.lstrip("#"))
        return (heading if depth == 1 else subheading)(first.lstrip("# "))
    if item := _ITEM.match(" ".join(line.strip() for line in lines)):
        if term := _TERM.match(item[1]):
            return definition(inline(term[1]).replace("\n", " "), term[2])
        return f".IP \\(bu 2\n{inline(item[1])}\n"
    return paragraph(" ".join(lines))


def page(*parts: str) -> str:
    """All *parts* as one page; a paragraph that follows a heading at once needs no macro of its own."""
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", "".join(parts), flags=re.MULTILINE)


def table(lines: Sequence[str]) -> str | None:
    """Lines of a word and what it means, two spaces between, as definitions; None where they are none."""
    rows = [_ROW.fullmatch(line.strip()) for line in lines]
    if not all(rows):
        return None
    return "".join(definition(rf"\fB{escape(row[1])}\fR", row[2]) for row in rows if row)
