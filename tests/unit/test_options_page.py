"""docs/reference/options.md says what the parsers say: its tables are computed from their first column.

UPDATE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spank_container import errors
from spank_container.errors import ParseError, SpankContainerError, UserError
from spank_container.request import parse_volume_options
from spank_container.values.image_ref import parse_image_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAGE = Path(__file__).parents[2] / "docs/reference/options.md"
TABLE = re.compile(
    r"(?P<head><!-- (?P<option>\w+): (?P<kind>\w+)[^\n]*\n[^\n]*\n[^\n]*\n)(?P<rows>.*?)(?=<!-- end -->)", re.DOTALL
)
READERS: dict[str, Callable[[str], Iterable[object]]] = {
    "image": lambda text: [parse_image_ref(text)],
    "volume": lambda text: parse_volume_options([text]),
}


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


def test_the_tables_are_what_the_parsers_say() -> None:
    page = PAGE.read_text()
    assert len(TABLE.findall(page)) == 6
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(computed(page))
    assert PAGE.read_text() == computed(page)


def test_the_refusal_that_is_shown_is_the_real_one() -> None:
    shown = PAGE.read_text().split("$ sbatch --image=docker:debian: job.sh\n")[1].split("```")[0]
    with pytest.raises(ParseError) as caught:
        parse_image_ref("docker:debian:")
    assert shown == f"spank-container: {caught.value.report()}\n"


def test_every_exit_status_is_there() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SpankContainerError)]
    listed = set(map(int, re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)))
    assert listed == {one.exit_code for one in classes} | {0}
