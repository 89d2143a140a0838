"""The manual pages: spank-container(1) from our parsers, spank-container.toml(5) from the configuration's classes.

shifter(1) and shifterimg(1) are texts; tests compare them with what these programs say of themselves. The templates are
in slurm.conf.d/man. Nothing here is written to a file.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container import __version__
from spank_container.commands.verbs import Audience
from spank_container.render import config_tables, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spank_container.commands.verbs import Example, Verb, VerbParser

PAGES = ("man1/spank-container.1", "man1/shifter.1", "man1/shifterimg.1", "man5/spank-container.toml.5")


@dataclass(frozen=True, slots=True)
class Argument:
    """`names` is empty for what is no option; `value` is what follows, "" for nothing."""

    names: tuple[str, ...]
    value: str
    value_may_be_left_out: bool
    repeated: bool
    words: str


@dataclass(frozen=True, slots=True)
class Section:
    """One verb: `command` is what is typed, `name` is that without its first word."""

    name: str
    command: str
    summary: str
    about: str
    arguments: tuple[Argument, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """The verbs of one audience."""

    heading: str
    sections: tuple[Section, ...]


def manual_pages(program: VerbParser, examples: Sequence[Example], statuses: dict[int, str]) -> dict[str, str]:
    """By their paths below share/man."""
    submit = next(verb.parser for verb in program.verbs if verb.name == "submit")
    of_jobs = tuple(one for one in _arguments(submit) if one.names != ("--step",))
    values = {
        "version": __version__,
        "chapters": [_chapter(program, audience, of_jobs) for audience in Audience],
        "job_options": of_jobs,
        "examples": examples,
        "statuses": statuses,
        "tables": config_tables(),
    }
    return {page: render(f"man/{page.partition('/')[2]}", **values) for page in PAGES}


def _chapter(program: VerbParser, audience: Audience, said: Sequence[Argument]) -> Chapter:
    verbs = [leaf for verb in program.verbs if verb.audience is audience for leaf in verb.leaves()]
    return Chapter(audience.value, tuple(_section(verb, said) for verb in verbs))


def _section(verb: Verb, said: Sequence[Argument]) -> Section:
    """`said`: arguments that stand in another place of the page."""
    arguments = tuple(one for one in _arguments(verb.parser) if one not in said)
    command = verb.parser.prog
    return Section(command.partition(" ")[2], command, verb.summary, verb.about, arguments, verb.examples)


def _arguments(parser: argparse.ArgumentParser) -> tuple[Argument, ...]:
    actions = parser._actions  # noqa: SLF001  # argparse has no other list of them
    return tuple(_argument(one) for one in actions if not isinstance(one, argparse._HelpAction))  # noqa: SLF001


def _argument(action: argparse.Action) -> Argument:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest)
    words = (action.help or "") % {"default": action.default}
    return Argument(tuple(action.option_strings), value, action.nargs == "?", action.nargs == "+", words)
