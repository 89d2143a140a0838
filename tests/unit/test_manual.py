"""The manual pages: man(1) has nothing to say against them, and they know every verb, option and key."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from spank_container import commands
from spank_container.commands.manual import manual_pages
from spank_container.render import _roff, config_tables
from spank_container.shifterimg import _MODES, _parser

HOST_SHIFTER = Path(__file__).parents[2] / "spank_container/support/host/bin/shifter"
PAGES = manual_pages(commands.program(), commands.EXAMPLES, commands.STATUSES)


def shown(page: str, tmp_path: Path) -> str:
    """As a reader with 80 columns sees it."""
    assert shutil.which("man"), "apt-get install man-db"
    file = tmp_path / Path(page).name
    file.write_text(PAGES[page])
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": "", "PAGER": "cat"}
    argv = ["man", "--warnings=w", "--local-file", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    return re.sub(r".\x08|\x1b\[[\d;]*m", "", done.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_it_is_rendered_without_a_warning(page: str, tmp_path: Path) -> None:
    text = shown(page, tmp_path)
    assert text.split()[0] == f"{Path(page).stem.upper()}({Path(page).suffix[1:]})"
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"):
        assert f"\n{section}\n" in text
    commands_of_the_page = re.compile(r"^ +(spank-container|sbatch) ")
    assert [one for one in text.splitlines() if len(one) > 80 and not commands_of_the_page.match(one)] == []


def test_every_verb_and_option_is_in_the_page(tmp_path: Path) -> None:
    text = shown("man1/spank-container.1", tmp_path)
    for verb in commands.program().verbs:
        for leaf in verb.leaves():
            words = leaf.parser.prog.partition(" ")[2]
            section = re.split(r"\n(?:   )?(?=\S)", text.split(f"\n   {words}\n")[1])[0]
            options = {one for action in leaf.parser._actions for one in action.option_strings} - {"-h", "--help"}
            missing = {one for one in options if one not in section}
            assert missing == {one for one in missing if one.startswith(("--image", "--volume"))}
            assert all(f"\n       {one}" in text for one in missing)


def test_every_status_is_in_the_page(tmp_path: Path) -> None:
    text = shown("man1/spank-container.1", tmp_path)
    assert [status for status in commands.STATUSES if not re.search(rf"\n       {status} +\w", text)] == []


def test_every_key_and_its_default_is_in_the_page(tmp_path: Path) -> None:
    text = shown("man5/spank-container.toml.5", tmp_path)
    keys = [f"\n       {key.name} = {key.default}\n" for table in config_tables() for key in table.keys]
    assert len(keys) > 40
    assert [key for key in keys if key not in text] == []


def options_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*|(?<![\w-])-[a-zA-Z]\b", text))


def test_shifters_page_has_the_options_of_its_help(tmp_path: Path) -> None:
    done = subprocess.run(["sh", HOST_SHIFTER, "--help"], capture_output=True, text=True, check=True)
    text = shown("man1/shifter.1", tmp_path)
    assert options_of(done.stdout) - options_of(text) == set()
    said = options_of(text.split("\nOPTIONS")[1].split("\nEXIT")[0])
    assert said - options_of(done.stdout) == {"-n", "-v", "--version"}


def test_shifterimgs_page_has_its_modes_and_options(tmp_path: Path) -> None:
    text = shown("man1/shifterimg.1", tmp_path)
    modes = text.split("\nMODES")[1].split("\nOPTIONS")[0]
    assert set(re.findall(r"^       (\w+)", modes, re.MULTILINE)) == set(_MODES)
    options = {one for action in _parser()._actions for one in action.option_strings}
    assert options_of(text.split("\nOPTIONS")[1].split("\nEXIT")[0]) == options


def test_what_means_something_to_roff_is_text() -> None:
    assert _roff(".a\\b-c'd`e^f~g") == r"\&.a\eb\-c\(aqd\(gae\(haf\(tig"
