"""The help of every verb: it fits a terminal, leaves nothing unsaid, and its examples are commands that parse."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spank_container import errors
from spank_container.cli import HOOKS
from spank_container.commands import EXAMPLES, STATUSES, program
from spank_container.commands.verbs import Audience, Verb
from spank_container.errors import SpankContainerError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEXTS = {
    "shifterimg": [sys.executable, "-c", "from spank_container.shifterimg import main; main(['--help'])"],
    "the host's shifter": ["sh", str(ROOT / "spank_container/support/host/bin/shifter"), "--help"],
}


def everyone(verbs: list[Verb]) -> Iterator[Verb]:
    for verb in verbs:
        yield verb
        yield from everyone(verb.parser.verbs)


VERBS = {verb.parser.prog: verb for verb in everyone(program().verbs)}


@pytest.mark.parametrize("name", VERBS)
def test_a_verbs_help(name: str) -> None:
    """Nothing is wider than 80 columns, but for command lines, which cannot be broken."""
    verb = VERBS[name]
    text = verb.parser.format_help()
    commands = {example.command for example in verb.examples}
    assert [line for line in text.splitlines() if len(line) > 79 and line.strip() not in commands] == []
    first = f"{verb.summary[0].upper()}{verb.summary[1:]}."
    assert first in text.splitlines()
    assert all(example.purpose for example in verb.examples)


@pytest.mark.parametrize("name", VERBS)
def test_every_option_says_what_it_does(name: str) -> None:
    assert [action.dest for action in VERBS[name].parser._actions if not action.help and action.choices is None] == []


@pytest.mark.parametrize(
    "command", [one.command for one in [*EXAMPLES, *(each for verb in VERBS.values() for each in verb.examples)]]
)
def test_every_example_parses(command: str) -> None:
    words = shlex.split(re.split(r" [<>] ", command)[0])
    if words[0] == "sbatch":  # `explain` takes the options of sbatch
        words = ["spank-container", "explain", *(word for word in words[1:] if word.startswith("--"))]
    if "--help" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            program().parse_args(words[1:])
        return
    assert words[0] == "spank-container"
    assert program().parse_args(words[1:])


def test_the_programs_help_has_everybodys_verbs_first() -> None:
    text = program().format_help()
    headings = [text.index(f"\n{audience.value}:\n") for audience in Audience]
    assert headings == sorted(headings)
    assert max(map(len, text.splitlines())) < 80
    assert [name for name in VERBS if name.count(" ") == 1 and f"\n  {name.split()[1]} " not in text] == []
    assert text.index("\n  step ") > text.index("\n  plan ") > text.index("\n  images ")


def test_every_exit_status_is_there() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SpankContainerError)]
    assert set(STATUSES) == {one.exit_code for one in classes} | {0}


def test_argparse_would_say_the_same() -> None:
    """Our own text for parsers with verbs names every option that they have."""
    for parser in (program(), *(verb.parser for verb in VERBS.values() if verb.parser.verbs)):
        options = {option for action in parser._actions for option in action.option_strings}
        assert {option for option in options if option not in parser.format_help()} == set()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hooks_help_runs_no_hook(hook: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "spank_container", hook, "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)})
    assert done.stdout.startswith(f"usage: spank-container {hook} [-h]")


@pytest.mark.parametrize("name", TEXTS)
def test_the_drop_ins_help(name: str) -> None:
    done = subprocess.run(TEXTS[name], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: shifter")
    assert [line for line in done.stdout.splitlines() if len(line) > 79] == []


def test_the_containers_shifters_help_fits() -> None:
    source = (ROOT / "spank_container/support/container/shifter.c").read_text()
    literals = re.findall(r'"((?:[^"\\]|\\.)*)"', source.split("static const char help[]")[1].split(";\n")[0])
    text = "".join(literals).replace("\\n", "\n")
    assert text.startswith("usage: shifter")
    assert [line for line in text.splitlines() if len(line) > 79] == []
