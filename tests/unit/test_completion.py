"""Completions as people meet them: the words that bash and zsh execute after TAB, and what fish offers."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from spank_container.commands import program
from spank_container.commands.completion import SHELLS, completion
from spank_container.commands.shared import shared_files
from spank_container.errors import SiteError

if TYPE_CHECKING:
    from pathlib import Path

# It lists two images, and says what it was started with.
FAKE = """#!/bin/sh
[ "$*" != images ] || { printf 'docker:docker.io/library/%s\\tsha256:0\\n' busybox:latest debian:trixie; exit; }
printf '<%s>' "$@"
echo "<end>"
"""
NAMES = [f"docker:docker.io/library/{name}" for name in ("busybox:latest", "debian:trixie")]
BASH = "PS1='$ '; . /usr/share/bash-completion/bash_completion"
ZSH = "PROMPT='$ '; fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -D -u"
TYPED = [
    ("spank-container imag\t rm x", "<image><rm><x><end>"),
    ("spank-container image sha\tx", "<image><share><x><end>"),
    ("spank-container sweep --id\t", "<sweep><--idle-images><end>"),
    ("spank-container completion z\t", "<completion><zsh><end>"),
    (
        "spank-container image rm docker:docker.io/library/d\t",
        "<image><rm><docker:docker.io/library/debian:trixie><end>",
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with our program on the PATH, and the files as `install` writes them below share."""
    folder = tmp_path_factory.mktemp("home")
    files = {"bin/spank-container": FAKE} | {f"share/{one.path}": one.text for one in shared_files()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "bin/spank-container").chmod(0o755)
    (folder / ".bashrc").write_text(BASH)
    (folder / ".zshrc").write_text(ZSH.format(share=folder / "share"))
    return folder


def environment(home: Path) -> dict[str, str]:
    path = f"{home}/bin:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "TERM": "dumb", "XDG_DATA_DIRS": f"{home}/share", "LC_ALL": "C.UTF-8"}


def typed(shell: str, keys: str, home: Path) -> str:
    """What an interactive shell shows when the keys come, and Enter after them."""
    ours, its = pty.openpty()
    argv = ["setsid", "--ctty", shell, "-i"]
    with subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, env=environment(home), cwd=home) as process:
        read_until(ours, b"$ ")
        os.write(ours, f"{keys}\n".encode())
        shown = read_until(ours, b"<end>")
        process.kill()
    os.close(ours)
    os.close(its)
    return shown.decode()


def read_until(terminal: int, end: bytes) -> bytes:
    shown = b""
    while end not in shown:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, shown
        shown += os.read(terminal, 4096)
    return shown


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(("keys", "executed"), TYPED)
def test_what_is_executed_after_tab(shell: str, keys: str, executed: str, home: Path) -> None:
    assert shutil.which(shell), f"apt-get install {shell}"
    assert executed in typed(shell, keys, home)


def test_bash_completes_every_name_beyond_its_colons(home: Path) -> None:
    """shtab lets zsh complete the first of several words only."""
    busybox, debian = NAMES
    shown = typed("bash", f"spank-container image rm {debian} dock\tb\t", home)
    assert f"<rm><{debian}><{busybox}><end>" in shown


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("spank-container imag", ["image", "images"]),
        ("spank-container image ", ["import", "rm", "share", "show"]),
        ("spank-container sweep --", ["--help", "--idle-images"]),
        ("spank-container completion ", ["bash", "fish", "zsh"]),
        ("spank-container image rm docker:", NAMES),
    ],
)
def test_what_fish_offers(line: str, offered: list[str], home: Path) -> None:
    assert shutil.which("fish"), "apt-get install fish"
    done = subprocess.run(
        ["fish", "-c", f'complete -C "{line}"'], env=environment(home), capture_output=True, text=True, check=True
    )
    assert sorted(row.split("\t")[0] for row in done.stdout.splitlines()) == offered


def test_bash_without_bash_completion_gets_the_verbs(home: Path) -> None:
    script = f"""
    . {home}/share/bash-completion/completions/spank-container
    COMP_WORDS=(spank-container ima) COMP_CWORD=1
    _spank_container
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], env=environment(home), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("images image\n", "")


def test_without_shtab_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    for shell in SHELLS:
        with pytest.raises(SiteError, match=r"^shtab is not installed$") as caught:
            completion(program(), shell)
        assert caught.value.hint == "pip install 'spank-container[admin]'"
