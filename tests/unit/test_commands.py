"""How words reach a verb: typed, or handed over by the plugin."""

from __future__ import annotations

import pytest

from spank_container.commands import jobs

WORDS = {
    "SPANK_CONTAINER_WORDS": "2",
    "SPANK_CONTAINER_WORD_0": "--image=a",
    "SPANK_CONTAINER_WORD_1": "--volume=/x:/y",
}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["submit", "-", "--step"], ["submit", "--image=a", "--volume=/x:/y", "--step"]),
        (["submit", "-"], ["submit", "--image=a", "--volume=/x:/y"]),
        (["submit", "--image=b"], ["submit", "--image=b"]),
        (["pull", "-"], ["pull", "-"]),
        ([], []),
    ],
)
def test_the_plugins_words_stand_in_the_environment(argv: list[str], words: list[str]) -> None:
    assert jobs.with_words(argv, WORDS) == words
