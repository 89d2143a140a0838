"""docs/reference/options.md and volumes.md say what the parsers say: their tables are computed from the first column.

UPDATE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spank_container import errors
from spank_container.errors import ParseError, SpankContainerError, UserError
from spank_container.plan.policy import check_source, source_rules
from spank_container.request import parse_volume_options
from spank_container.site_config import validate_config
from spank_container.values.image_ref import parse_image_ref
from spank_container.values.site_mount import parse_site_mount
from spank_container.values.size import parse_size
from spank_container.values.task import parse_variables, parse_workdir, with_value
from spank_container.values.writable import parse_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REFERENCE = Path(__file__).parents[2] / "docs/reference"
PAGE = REFERENCE / "options.md"
PAGES = {"options.md": 8, "volumes.md": 14}
TABLE = re.compile(
    r"(?P<head><!-- (?P<option>\w+): (?P<kind>\w+)[^\n]*\n[^\n]*\n[^\n]*\n)(?P<rows>.*?)(?=<!-- end -->)", re.DOTALL
)
READERS: dict[str, Callable[[str], Iterable[object]]] = {
    "image": lambda text: [parse_image_ref(text)],
    "volume": lambda text: parse_volume_options([text]),
    "size": lambda text: [parse_size(text)],
    "mount": lambda text: [parse_site_mount(text)],
    "source": lambda text: [judged(text)],
    "writable": lambda text: [parse_writable(text)],
    "env": lambda text: parse_variables([with_value(text, {"PRESENT": "as it is here"})]),
    "workdir": lambda text: [parse_workdir(text)],
}


def judged(source: str) -> str:
    """By the configuration that volumes.md shows."""
    toml = (REFERENCE / "volumes.md").read_text().split("```toml\n")[1].split("```")[0]
    rules = source_rules(validate_config(tomllib.loads(toml), REFERENCE))
    check_source(source, rules)
    return "is read-only" if rules.makes_read_only(source) else "may be written to"


def row(option: str, kind: str, typed: str) -> str:
    """The row that `typed` must have; the wrong kind of outcome raises."""
    if kind == "accepted":
        return f"| `{typed}` | {', '.join(f'`{one}`' for one in READERS[option](typed))} |\n"
    with pytest.raises(UserError) as caught:
        READERS[option](typed)
    assert caught.value.hint
    return f"| `{typed}` | {caught.value.message} | {caught.value.hint} |\n"


def computed(page: str) -> str:
    def table(match: re.Match[str]) -> str:
        typed = re.findall(r"^\| `(.+?)` \|", match["rows"], re.MULTILINE)
        return match["head"] + "".join(row(match["option"], match["kind"], one) for one in typed)

    return TABLE.sub(table, page)


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_are_what_the_parsers_say(name: str) -> None:
    path = REFERENCE / name
    page = path.read_text()
    assert len(TABLE.findall(page)) == PAGES[name]
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(computed(page))
    assert path.read_text() == computed(page)


def test_the_refusal_that_is_shown_is_the_real_one() -> None:
    shown = PAGE.read_text().split("$ sbatch --image=docker:debian: job.sh\n")[1].split("```")[0]
    with pytest.raises(ParseError) as caught:
        parse_image_ref("docker:debian:")
    assert shown == f"spank-container: {caught.value.report()}\n"


def test_every_exit_status_is_there() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SpankContainerError)]
    listed = set(map(int, re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)))
    assert listed == {one.exit_code for one in classes} | {0}
