"""What may stand next on a command line, for the shells: told when the program is run with a variable set.

The scripts in completions/ know nothing of the commands; they ask here, so that they are never behind. What
is wrong with the line, the relays or a recording is passed over in silence: it completes nothing.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from speeddata import options, settings
from speeddata.errors import SpeedDataError
from speeddata.verbs import Verbs

_ANSWER_S = 0.12  # relays answer within a tenth; a person waits for it, and may press Tab again
_CHANNELS = 64  # of a recording that are looked into for their signals
_METAVARS = {"FILE": "*", "PATH": "*", "DIR": "/", "FILE|-": "*"}  # what a shell completes by itself
_FILES = {"schema": "*.avsc", "config": "*.toml", "map": "*.toml"}


@dataclass
class Line:
    """A command line up to the word that is being typed.

    Attributes:
        command: whose options may come next; the program itself at first.
        context: of the program.
        name: of the command, as in the settings; "" for the program.
        verbs: words that may still say which verb is meant.
        option: whose value comes next; None: none's.
        given: the values of options so far, by their long names.
        words: that are no options.
        only_words: no option may follow.
    """

    command: click.Command
    context: click.Context
    name: str = ""
    verbs: dict[str, str] = field(default_factory=dict)
    option: click.Option | None = None
    given: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    only_words: bool = False

    @property
    def options(self) -> list[click.Option]:
        """What `command` takes."""
        params = self.command.get_params(click.Context(self.command, parent=self.context))
        return [each for each in params if isinstance(each, click.Option) and not each.hidden]

    @property
    def argument(self) -> click.Argument | None:
        """Which argument the next word is; None where all are there."""
        arguments = [each for each in self.command.params if isinstance(each, click.Argument)]
        if len(self.words) < len(arguments):
            return arguments[len(self.words)]
        return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


@dataclass(frozen=True)
class Candidate:
    """A word, and what it means; or files, told by a pattern: `*` all, `/` directories only."""

    text: str
    help: str = ""
    kind: str = "word"


def answer(program: click.Command, commands: dict[str, str], shell: str, argv: Sequence[str]) -> None:
    """Write what fits: a line each, of its kind, the text and what it means, with tabs between.

    Args:
        program: with all commands.
        commands: what each does.
        shell: "bash" gives the line up to the cursor and the last word as bash sees it; the others all words.
        argv: those.
    """
    logging.disable()
    told = list[str]()
    with contextlib.suppress(Exception):
        if shell == "bash":
            words, skipped = split(*argv)
        else:
            words, skipped = list(argv), 0
            if shell == "zsh" and re.match("--[^=]+=", words[-1]):
                skipped = words[-1].index("=") + 1
        for each in candidates(program, commands, words):
            text = each.text[skipped:] if each.kind == "word" else each.text
            told.append(f"{each.kind}\t{text}\t{each.help}\n")
    sys.stdout.write("".join(told))
    sys.stdout.flush()


def split(line: str, last: str) -> tuple[list[str], int]:
    """The words of *line*, and how many characters of the last one bash takes for words of their own.

    Bash breaks words at = and :, and completes *last*, what is behind them.
    """
    for ending in ("", "'", '"'):  # a quote that is still open
        try:
            lexer = shlex.shlex(line + ending, posix=True, punctuation_chars="|&;")
            lexer.whitespace_split, lexer.commenters = True, ""
            words = list(lexer)
            break
        except ValueError:
            continue
    else:
        return [], 0
    begin = max((n + 1 for n, word in enumerate(words) if set(word) <= set("|&;")), default=0)
    words = words[begin:]
    if not words or (line[-1:].isspace() and not line.endswith("\\ ") and not ending):
        words.append("")
    last = last.lstrip("'\"") if last not in ("=", ":") else ""
    whole = words[-1]
    return words[1:], len(whole) - len(last) if last != whole and whole.endswith(last) else 0


def candidates(program: click.Command, commands: dict[str, str], words: Sequence[str]) -> Iterator[Candidate]:
    """What may stand in place of the last of *words*, those behind the program's name."""
    *before, typed = words
    line = read(program, commands, before)
    name, equals, value = typed.partition("=")
    if line.option is not None:
        found = _values(line, line.option, typed)
    elif equals and name.startswith("--") and (option := _named(line, name)) is not None:
        found = (
            Candidate(f"{name}={each.text}", each.help) if each.kind == "word" else each
            for each in _values(line, option, value)
        )
    elif typed.startswith("-") and not line.only_words:
        found = _options(line, short=typed == "-")
    else:
        found = _words(line, typed)
    seen = set[tuple[str, str]]()
    for each in found:
        fits = each.kind != "word" or each.text.startswith(typed)
        if fits and (each.kind, each.text) not in seen:
            seen.add((each.kind, each.text))
            yield each


def read(program: click.Command, commands: dict[str, str], words: Iterable[str]) -> Line:
    """Follow *words* to the command that they name, without running anything."""
    top = program.make_context("speeddata", [], resilient_parsing=True)
    line = Line(program, top, verbs=commands)
    for word in words:
        if line.option is not None:
            _give(line, line.option, word)
            line.option = None
        elif word == "--" and not line.only_words:
            line.only_words = True
        elif word.startswith("-") and word != "-" and not line.only_words:
            _take_option(line, word)
        else:
            _take_word(line, word)
    return line


def _take_word(line: Line, word: str) -> None:
    command = line.command
    if not isinstance(command, click.Group):
        line.words.append(word)
        line.verbs = {}
        return
    found = command.get_command(line.context, word)
    if found is None and _descended(line):
        line.words.append(word)
        line.verbs = {}
    elif found is not None:
        line.command, line.name = found, line.name or word
        line.verbs = dict(found.verbs) if isinstance(found, Verbs) else {}
    else:
        raise ValueError(word)


def _descended(line: Line) -> bool:
    """Go on to the verb that is meant where none is named."""
    command = line.command
    if isinstance(command, Verbs) and command.plain is not None:
        plain = command.get_command(line.context, command.plain)
        assert plain is not None
        line.command = plain
        return True
    return False


def _take_option(line: Line, word: str) -> None:
    name, equals, value = word.partition("=")
    option = _named(line, name)
    if option is None and _descended(line):
        option = _named(line, name)
    if option is not None and not word.startswith("--") and len(word) > 2:  # -n5, -qv
        if not _takes_value(option):
            return
        equals, value = "=", word[2:]
    if option is None or not _takes_value(option):
        return
    if equals:
        _give(line, option, value)
    else:
        line.option = option


def _named(line: Line, name: str) -> click.Option | None:
    name = name if name.startswith("--") else name[:2]
    return next((each for each in line.options if name in each.opts), None)


def _takes_value(option: click.Option) -> bool:
    return not (option.is_flag or option.count or getattr(option, "_flag_needs_value", False))


def _give(line: Line, option: click.Option, value: str) -> None:
    line.given.setdefault(options.long_name(option), []).append(value)


# -- what fits ----------------------------------------------------------------------------------------------


def _options(line: Line, *, short: bool) -> Iterator[Candidate]:
    _descended(line)
    for option in line.options:
        name = options.long_name(option)
        if option.multiple or name not in line.given:
            yield Candidate(f"--{name}", (option.help or "").partition(".  [")[0])
            if short:
                yield from (Candidate(each, option.help or "") for each in option.opts if len(each) == 2)


def _words(line: Line, typed: str) -> Iterator[Candidate]:
    yield from (Candidate(name, what) for name, what in line.verbs.items())
    if line.verbs and not _descended(line):
        return
    argument = line.argument
    if argument is None:
        return
    metavar = re.sub(r"[\[\]. ]", "", argument.metavar or argument.name or "").upper()
    if metavar == "SOURCE":
        yield from _sources(line, typed)
    elif metavar == "SIGNAL":
        yield from (Candidate(f"{c}/{s}") for c, s in recorded_signals([_recording(line)]))
    elif metavar in _METAVARS:
        yield Candidate(_METAVARS[metavar], kind="files")


def _sources(line: Line, typed: str) -> Iterator[Candidate]:
    yield Candidate("*.avro", kind="files")
    if "/" not in typed and not typed.startswith((".", "~")):
        with contextlib.suppress(SpeedDataError):
            yield from (Candidate(name, "live") for name, _ in live_channels(_interfaces(line)))


def _values(line: Line, option: click.Option, typed: str) -> Iterator[Candidate]:
    name = options.long_name(option)
    if isinstance(option.type, click.Choice):
        yield from (Candidate(str(each)) for each in option.type.choices)
    elif name in ("signal", "sequence"):
        yield from (Candidate(each) for each in dict.fromkeys(_signals(line)))
    elif name == "customer":
        yield from (Candidate(each) for each in _customers())
    elif name == "mark":
        yield from (Candidate(each) for each in _marks(line))
    elif name == "interface":
        yield from (Candidate(each) for _, each in socket.if_nameindex())
    elif name == "recording" or (option.metavar or "") in _METAVARS or option.type is options.SCHEMA:
        pattern = _FILES.get(name) or _METAVARS.get(option.metavar or "", "*")
        yield Candidate(pattern, kind="files")


def _signals(line: Line) -> Iterator[str]:
    """Those of the sources that stand on the line; of all live channels where there are none."""
    paths = [word for word in line.words if "/" in word or word.endswith(".avro")]
    yield from (signal for _, signal in recorded_signals(paths))
    names = [word.lower() for word in line.words if word not in paths and word != "-"]
    if names or not line.words:
        from speeddata.avro.schema import parse

        for name, schema_text in live_channels(_interfaces(line)):
            if not names or name.lower() in names:
                with contextlib.suppress(SpeedDataError):
                    yield from (signal.name for signal in parse(schema_text).signals)


def _marks(line: Line) -> Iterator[str]:
    from speeddata.recording.markfile import MarkFile

    for word in line.words:
        path = Path(word).expanduser()
        home = path if path.is_dir() else path.parent
        yield from (mark.name for mark in MarkFile.of(home).read() if mark.end_ns is not None)


def _customers() -> list[str]:
    from speeddata.subscription.registry import customer_names, registry_path

    return customer_names(registry_path(os.environ))


def _recording(line: Line) -> str:
    return line.given.get("from", ["data"])[-1]


def _interfaces(line: Line) -> list[str]:
    """Where to ask for live channels: as the command would, by option, variable or settings."""
    if given := line.given.get("interface"):
        return given
    if said := os.environ.get("SPEEDDATA_INTERFACE"):
        return [each.strip() for each in said.split(",") if each.strip()]
    chosen = line.given.get("config", [os.environ.get("SPEEDDATA_CONFIG")])[-1]
    tables = settings.load(settings.find(chosen)).tables
    own = tables.get(line.name, {})
    found = own.get("interface", tables.get("interface", [])) if isinstance(own, dict) else []
    return [found] if isinstance(found, str) else list(found)


def live_channels(on: Sequence[str]) -> list[tuple[str, str]]:
    """Name and schema of every channel that a relay serves now.

    Raises:
        HostError: one of the interfaces is none.
    """
    from speeddata.wire.finding import survey

    return [(said.channel, said.schema_text) for said, _ in survey(on, _ANSWER_S)]


def recorded_signals(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Channel and signal of all that is recorded in *paths*: of each channel, as its newest file has them.

    What cannot be read, or is no recording, is passed over.
    """
    from speeddata.recording.listing import listing, schemas

    for path in paths:
        with contextlib.suppress(SpeedDataError):
            named = os.path.expanduser(path)
            recorded = listing(map(Path, glob.glob(named) or [named]))
            for channel, files in list(recorded.items())[:_CHANNELS]:
                for schema in schemas(files[-1:]):
                    yield from ((channel, signal.name) for signal in schema.signals)
