"""docs/tutorial/first-job.md, as alice follows it: each command in its order, each output as the page shows it.

In the page `...` stands for anything in a line, and by itself for any lines; its job numbers are another cluster's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import registry
from sandbox.images import fill_busybox
from sandbox.oci import ImageConfig, write_layout
from sandbox.registry import PRIVATE
from sandbox.releases import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

PAGE = Path(__file__).parents[2] / "docs/tutorial/first-job.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDER = "/shared/alice"
CLEAN = f"rm -rf {FOLDER}/* ~/.config /tmp/of-login"


@dataclass(frozen=True, slots=True)
class Step:
    """Either a file to write, of which `command` is the name, or a command; `text` is its content or what is shown."""

    kind: str
    command: str
    text: str


def steps() -> Iterator[Step]:
    for kind, name, text in BLOCK.findall(PAGE.read_text()):
        if kind == "bash":
            yield Step(kind, name, text)
        for command, shown in re.findall(
            r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text if kind == "console" else "", re.MULTILINE
        ):
            yield Step(kind, command, shown)


def pattern(shown: str) -> str:
    """A regular expression for the whole output."""
    lines = re.sub(r"^\.\.\.\n", "\0", shown, flags=re.MULTILINE)
    return re.escape(lines).replace(re.escape("..."), ".+").replace(re.escape("\0"), r"(?:.*\n)*")


def test_the_page_is_followed_whole() -> None:
    found = list(steps())
    assert [step.command for step in found if step.kind == "bash"] == ["first.sh", "cache.sh"]
    assert sum(step.kind == "console" for step in found) == PAGE.read_text().count("\n$ ") > 20
    assert {kind for kind, _, _ in BLOCK.findall(PAGE.read_text())} == {"bash", "console"}


@pytest.mark.parametrize(
    ("shown", "output", "matches"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\n", "a\nb\n", True),
        ("...\na\n...\n", "a\n", True),
        ("...\na\n", "b\n", False),
        ("...\na: ...\n", "b\na: c\n", True),
        ("...\na: ...\n", "a: c\nb\n", False),
        ("a ... c\n", "a b c\n", True),
        ("a ... c\n", "a b\nc\n", False),
        ("", "", True),
        ("", "a\n", False),
    ],
)
def test_how_an_output_is_compared(shown: str, output: str, *, matches: bool) -> None:
    assert bool(re.fullmatch(pattern(shown), output)) is matches


@pytest.fixture
def alice(with_gateway: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster, with an image in the registry that wants her password."""
    with_gateway.run(CLEAN)
    (tmp_path / "tree").mkdir()
    fill_busybox(tmp_path / "tree")
    (tmp_path / "tree/etc/os-release").write_text('PRETTY_NAME="The lab\'s own"\n')
    write_layout(tmp_path / "layout", [tmp_path / "tree"], ImageConfig({"PATH": "/bin"}))
    with_gateway.push(tmp_path / "layout", "lab/app:1")
    login = f"--dest-creds={registry.PRIVATE_USER}:{registry.PRIVATE_PASSWORD}"
    pushed = with_gateway.run(
        ["skopeo", "copy", "--quiet", login, "docker://lab/app:1", f"docker://{PRIVATE}/lab/app:1"]
    )
    assert pushed.returncode == 0, pushed.stderr
    with_gateway.run(f"cat > {FOLDER}/password", input=registry.PRIVATE_PASSWORD)
    yield with_gateway
    with_gateway.run(CLEAN)


def run(cluster: Cluster, command: str) -> str:
    """What a terminal shows; srun may say that a task failed before or after the task's own last words."""
    lines = cluster.run(f"cd {FOLDER}; {{ {command}\n}} 2>&1").stdout.splitlines(keepends=True)
    return "".join(sorted(lines, key=lambda line: line.startswith("srun: error: ")))


@pytest.mark.parametrize("cluster", [RELEASES[0].slurm], indirect=True, ids="slurm-{}".format, scope="session")
def test_alice_follows_the_tutorial(alice: Cluster) -> None:
    here = {"registry.example.org": PRIVATE}  # what the page calls otherwise
    for step in steps():
        command, text = step.command, step.text
        for name, ours in here.items():
            command, text = command.replace(name, ours), text.replace(name, ours)
        if step.kind == "bash":
            alice.run(f"cat > {FOLDER}/{command}", input=text)
            continue
        printed = run(alice, command)
        if submitted := re.fullmatch(r"Submitted batch job (\d+)\n", text):
            number = printed.split()[-1]
            here[f"slurm-{submitted[1]}.out"] = f"slurm-{number}.out"
            text = text.replace(submitted[1], number)
        assert re.fullmatch(pattern(text), printed), f"$ {command}\n{printed}\ninstead of\n{text}"
