"""How the verbs look: one style of help in 80 columns, verbs in the groups of those whom they are for, examples last.

Knows nothing of any one verb. What it keeps of each is what the manual page and the shells' completions are made from.
"""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = "spank-container"
WIDTH = 78  # argparse's own for a terminal of 80 columns, whatever the reader's has: examples do not wrap
_SUMMARIES = 18  # their column


class Audience(Enum):
    """Whom a verb is for; the order is that of the help."""

    EVERYBODY = "for everybody"
    ADMINISTRATORS = "for administrators"
    SLURM = "for Slurm, its plugin and its hooks"


@dataclass(frozen=True, slots=True)
class Example:
    """A command line, and what it is for."""

    command: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Verb:
    """`summary` is the line in lists of verbs, `about` what it leaves open."""

    name: str
    summary: str
    about: str
    examples: tuple[Example, ...]
    parser: VerbParser
    audience: Audience

    def leaves(self) -> Iterator[Verb]:
        """The verbs that do something: this, or those that follow it."""
        if not self.parser.verbs:
            yield self
        for verb in self.parser.verbs:
            yield from verb.leaves()


class VerbParser(argparse.ArgumentParser):
    """A parser whose help lists its verbs by audience; argparse knows one list of them only."""

    def __init__(self, *, last_words: str = "", **given: Any) -> None:  # noqa: ANN401  # argparse's own arguments
        super().__init__(formatter_class=_formatter, **given)
        self.verbs: list[Verb] = []
        self.last_words = last_words

    def format_help(self) -> str:
        self.description = wrapped(self.description or "")  # now, since a submit parses for 26 verbs and shows none
        if not self.verbs:
            return super().format_help()
        options = "options:\n  -h, --help      this text; after a VERB, what that does"
        if "--version" in (usage := self.format_usage().strip()):
            options += "\n  --version       the version"
        lists = [self._list(audience) for audience in Audience if any(one.audience is audience for one in self.verbs)]
        parts = [usage, self.description, *lists, options, self.epilog, self.last_words]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _list(self, audience: Audience) -> str:
        rows = [_row(verb) for verb in self.verbs if verb.audience is audience]
        heading = audience.value if len({verb.audience for verb in self.verbs}) > 1 else "verbs"
        return "\n".join([f"{heading}:", *rows])


class Verbs:
    """The verbs of one parser, to be added to."""

    def __init__(self, parser: VerbParser, audience: Audience = Audience.EVERYBODY) -> None:
        self._actions = parser.add_subparsers(metavar="VERB", required=True, prog=parser.prog, parser_class=VerbParser)
        self._added = parser.verbs
        self._audience = audience

    def add(
        self,
        name: str,
        summary: str,
        about: str = "",
        examples: Sequence[tuple[str, str]] = (),
        audience: Audience | None = None,
    ) -> VerbParser:
        """Each of `examples` is a command line without its first word, and what it is for."""
        shown = tuple(Example(f"{PROGRAM} {command}", purpose) for command, purpose in examples)
        parser = self._actions.add_parser(
            name, help=summary, description=sentences(summary, about), epilog=listed(shown)
        )
        self._added.append(Verb(name, summary, about, shown, parser, audience or self._audience))
        return parser

    def add_group(self, name: str, summary: str, about: str = "", audience: Audience | None = None) -> Verbs:
        """A verb that is nothing by itself: what it does is said by a second one."""
        return Verbs(self.add(name, summary, about, audience=audience), audience or self._audience)


_formatter = partial(argparse.RawDescriptionHelpFormatter, width=WIDTH, max_help_position=26)


def _row(verb: Verb) -> str:
    indent = " " * _SUMMARIES
    return textwrap.fill(f"  {verb.name:<{_SUMMARIES - 2}}{verb.summary}", WIDTH, subsequent_indent=indent)


def sentences(summary: str, about: str) -> str:
    """The first line is the summary, which the shells' completions show."""
    first = f"{summary[:1].upper()}{summary[1:]}."
    return f"{first}\n\n{about}" if about else first


def wrapped(text: str) -> str:
    """Paragraphs have an empty line between them."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(textwrap.fill(one, WIDTH, break_on_hyphens=False) for one in paragraphs)


def listed(examples: Sequence[Example]) -> str:
    return "\n".join(["examples:", *(f"  # {one.purpose}\n  {one.command}" for one in examples)]) if examples else ""
