"""A name service that does not answer, crashes or says odd things: a real module of glibc's, in a real nsswitch.conf."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from spank_container.log import LOG_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
SOURCE = Path(__file__).with_name("nss_test.c")
SECONDS = 0.5
HINT = "\nhint: submit again; if it stays so, tell your administrators: `getent passwd` does not answer on this node"
# identify() in a process whose nsswitch.conf names the module; prints what it says, and which children it leaves.
ASK = f"""
import json, os, time
from dataclasses import asdict
from pathlib import Path
from spank_container.errors import BusyError
from spank_container.name_service import identify
from spank_container.values.job import Job

begun = time.monotonic()
answer = {{}}
try:
    account, groups = identify(Job(12, 4711, 4711, "slurms-name", "n1"), float(os.environ["SECONDS"]))
    answer = {{"account": asdict(account), "groups": [[one.name, one.gid] for one in groups]}}
except BusyError as error:
    answer = {{"refusal": error.report()}}
answer["seconds"] = time.monotonic() - begun
answer["children"] = Path("/proc/self/task", str(os.getpid()), "children").read_text()
answer["log"] = Path("{LOG_FILE}").read_text()
print(json.dumps(answer))
"""
# A log of its own; no core file of the module that crashes.
SCRIPT = f"""
ulimit -c 0
mount --bind nsswitch.conf /etc/nsswitch.conf
mount -t tmpfs none {LOG_FILE.parent}
: > {LOG_FILE}
exec "$@"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the module and a configuration that asks it."""
    made = tmp_path_factory.mktemp("nss")
    flags = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
    subprocess.run(["gcc", *flags, "-o", made / "libnss_test.so.2", SOURCE], check=True)
    (made / "nsswitch.conf").write_text("passwd: files test\ngroup: files test\n")
    return made


def command() -> list[str]:
    return ["unshare", "--mount", "sh", "-euc", SCRIPT, "sh", sys.executable, "-c", ASK]


def environment(folder: Path, mode: str, seconds: float = SECONDS) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "NSS_TEST": mode,
        "SECONDS": str(seconds),
    }


def ask(folder: Path, mode: str) -> dict[str, Any]:
    done = subprocess.run(
        command(), env=environment(folder, mode), cwd=folder, capture_output=True, check=True, timeout=60
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["children"] == ""
    return answer


def names(*, named_below: int) -> list[list[Any]]:
    """The primary group, which nobody knows, and the thousand by number; the fourth has no name on this node."""
    others = [[f"project {n}" if n < named_below and n != 50003 else f"group{n}", n] for n in range(50001, 51001)]
    return [["group4711", 4711], *others]


def test_a_thousand_groups_and_odd_fields(folder: Path) -> None:
    answer = ask(folder, "")
    assert answer["groups"] == names(named_below=51001)
    assert answer["account"] == {
        "name": "many",
        "uid": 4711,
        "gid": 4711,
        "gecos": "A: B\nroot2:x:0:0::/:",
        "home": "/home/a:b",
        "shell": "/bin/\nsh",
    }
    assert answer["log"] == ""


@pytest.mark.parametrize("mode", ["account hangs", "groups hang"])
def test_it_does_not_answer(folder: Path, mode: str) -> None:
    answer = ask(folder, mode)
    reason = f"looking up user 4711: the name service did not answer within {SECONDS} s"
    assert answer["refusal"] == reason + HINT
    assert answer["seconds"] >= SECONDS


def test_a_module_that_crashes(folder: Path) -> None:
    assert ask(folder, "account crashes")["refusal"] == f"looking up user 4711: the name service failed{HINT}"


@pytest.mark.parametrize(
    ("mode", "why"), [("a name hangs", f"did not answer within {SECONDS} s"), ("a name crashes", "failed")]
)
def test_names_of_groups_are_not_waited_for(folder: Path, mode: str, why: str) -> None:
    answer = ask(folder, mode)
    assert answer["groups"] == names(named_below=50010)
    assert answer["log"].split(" ", 1)[1] == f"job 12: 991 groups have no name: the name service {why}\n"


def test_a_prolog_that_is_killed_meanwhile(folder: Path) -> None:
    """Its child holds nothing of it, so that slurmd waits for nobody, and ends by itself."""
    with subprocess.Popen(command(), env=environment(folder, "account hangs", 3), cwd=folder) as prolog:
        child = until(lambda: asking_child(prolog.pid))
        until(lambda: held(child) == {"/dev/null", "pipe:[N]"})
        prolog.kill()
    until(lambda: not os.path.exists(f"/proc/{child}"))


def asking_child(pid: int) -> str:
    """Of Python's, that is: before it the shell has children too."""
    program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip() if program == sys.executable else ""


def held(pid: str) -> set[str]:
    """The files that it has open; inodes are N."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(FileNotFoundError):  # one was closed under us
        return {re.sub(r"\d+", "N", os.readlink(f"{folder}/{name}")) for name in os.listdir(folder)}
    return set()


def until(look: Callable[[], T]) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
