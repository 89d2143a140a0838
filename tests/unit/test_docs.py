"""The pages say what is there: links lead somewhere, and what they quote of the code is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
QUOTED_FILE = re.compile(r"`((?:spank_container|tests|sandbox|bench|prolog|epilog|slurm\.conf\.d)/[\w./-]+)`")
NAMED_FUNCTION = re.compile(r"`(spank_container/[\w/]+\.(?:py|c))`,\s+`(\w+)\(\)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []
    assert [name for name in QUOTED_FILE.findall(text) if not (ROOT / name).exists()] == []


def test_the_architecture_page_names_modules_that_are_there() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    named = re.findall(r"`((?:[\w]+/)*[\w]+\.(?:py|c))`", text)
    assert len(named) > 8
    assert [name for name in named if not any((ROOT / base / name).exists() for base in ("spank_container", "."))] == []


def test_the_line_that_enters_is_where_the_page_says() -> None:
    plugin = (ROOT / "spank_container/plugin/task.c").read_text()
    assert re.search(r"static int enter\(void\)\n\{[^}]*setns\(ns, CLONE_NEWNS\)", plugin)
    assert plugin.count("setns(") == 1 + plugin.count("setns(2)")


def test_the_readmes_script_is_the_one_that_the_demonstration_runs() -> None:
    readme = (ROOT / "README.md").read_text()
    script = readme.split("```bash\n")[1].split("```")[0]
    assert (
        script in (ROOT / "sandbox/demo.py").read_text() or script in (ROOT / "tests/cluster/test_job.py").read_text()
    )


def test_the_security_page_names_functions_that_are_there() -> None:
    named = NAMED_FUNCTION.findall((ROOT / "docs/explanation/security.md").read_text())
    assert len(named) > 25
    defined = {file: (ROOT / file).read_text() for file, _ in named}
    assert [
        (file, name) for file, name in named if not re.search(rf"^[\w *]*\b{name}\(", defined[file], re.MULTILINE)
    ] == []
