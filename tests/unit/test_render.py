"""Rendered files, against what a reviewer saw: tests/golden/site. UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from spank_container import render
from spank_container.errors import SiteError
from spank_container.install.plan import InstallFacts, InstallOptions, PlannedFile, plan_files
from spank_container.site_config import SiteConfig, validate_config
from spank_container.slurm.release import SlurmRelease

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/site"
FACTS = InstallFacts(SlurmRelease(24, 11), b"\x7fELF", b"\x7fELF", Path("/opt/spank-container/venv"))
PLANNED = plan_files(InstallOptions(), FACTS)
TEXTS = {
    str(one.path).lstrip("/"): one
    for one in PLANNED
    if isinstance(one, PlannedFile) and not one.content.startswith(b"\x7fELF")
}


def test_the_files_are_as_they_were_reviewed() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        for name, planned in TEXTS.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_bytes(planned.content)
    golden = {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN.rglob("*") if path.is_file()}
    assert {name: planned.content.decode() for name, planned in TEXTS.items()} == golden


def test_as_it_is_config_toml_changes_nothing() -> None:
    assert validate_config(tomllib.loads(render.config_toml()), Path("x")) == SiteConfig()


def test_each_default_in_config_toml_is_the_real_one() -> None:
    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", render.config_toml(), flags=re.MULTILINE)
    document = tomllib.loads(uncommented)
    assert validate_config(document, Path("x")) == SiteConfig()
    assert sum(len(table) for table in document.values()) == sum(len(table.keys) for table in render.config_tables())


def test_the_reference_page_is_generated() -> None:
    page = ROOT / "docs/reference/config.md"
    if os.environ.get("UPDATE_GOLDEN"):
        page.write_text(render.config_reference())
    assert page.read_text() == render.config_reference()


def test_hooks_in_the_repository_are_those_of_the_default_prefix() -> None:
    for name in ("prolog", "epilog"):
        text = (ROOT / name / "50-spank-container").read_text()
        assert TEXTS[f"etc/slurm/{name}.d/50-spank-container"].content.decode() == text
        assert len(text.splitlines()) < 15


def test_a_misspelt_name_in_a_template_is_an_error() -> None:
    with pytest.raises(Exception, match="'prefix' is undefined"):
        render.render("modulefile")


def test_without_jinja2_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SiteError, match="jinja2 is not installed") as caught:
        render.config_toml()
    assert caught.value.hint == "pip install 'spank-container[admin]'"


def test_the_scripts_are_clean() -> None:
    scripts = [GOLDEN / name for name, planned in TEXTS.items() if planned.content.startswith(b"#!/bin/sh")]
    assert len(scripts) == 3
    checked = subprocess.run(["shellcheck", "--shell=sh", *scripts], capture_output=True, text=True, check=False)
    assert checked.stdout + checked.stderr == ""
