"""A command of several verbs, one of which is meant where none is named: `hxpush data/`, `hxpush map ...`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping

import click

from speeddata import options
from speeddata.errors import UsageError

_OWN = ("-h", "--help", "--version")  # said before a verb, they are about the command itself
_WITH_VALUE = ("-C", "--config")
_ALONE = ("-q", "--quiet", "-v", "--verbose")


class Verbs(click.Group):
    """A group that imports a verb only to run it.

    Args:
        name: of the command.
        verbs: what each does, by its name, in one line.
        rooms: where the function of each is: the module, which has it as `command`.
        plain: the verb that is meant where none is named; None: one has to be.
        help: of the command as a whole; left out where *plain* has all there is to say.
    """

    def __init__(
        self,
        name: str,
        verbs: Mapping[str, str],
        rooms: Mapping[str, str],
        *,
        plain: str | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(name, help=help, context_settings={"ignore_unknown_options": False})
        self.verbs, self.rooms, self.plain = verbs, rooms, plain

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.verbs:
            return None
        command = importlib.import_module(self.rooms[name]).command
        assert isinstance(command, click.Command)
        return options.complete(command)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.plain is not None and self._verb(args) is None and not set(args[:1]) & set(_OWN):
            args = [self.plain, *args]
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.verbs:
            near = difflib.get_close_matches(args[0], self.verbs, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(self.verbs)}"
            raise UsageError(f"has no verb '{args[0]}'", where=self.name or "", mend=mend)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        if self.plain is None:
            return super().get_help(ctx)
        command = self.get_command(ctx, self.plain)
        assert command is not None
        plain = command.context_class(command, info_name=ctx.info_name, parent=ctx.parent)
        formatter = plain.make_formatter()
        command.format_help(plain, formatter)
        self.format_commands(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = {name: what for name, what in self.verbs.items() if name != self.plain}
        with formatter.section("Verbs" if self.plain is None else "Other verbs"):
            formatter.write_dl([(f"{self.name} {name}", what) for name, what in told.items()])

    def _verb(self, args: list[str]) -> str | None:
        """The verb that is named, behind options that every command has."""
        rest = iter(args)
        for word in rest:
            if word in _WITH_VALUE:
                next(rest, None)
            elif word not in _ALONE and not word.startswith("--config="):
                return word if word in self.verbs else None
        return None
