"""Users of the gateway: each is a process of his own, with the client library, that does what it is told."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLIENT = """
import json, sys, threading
from dataclasses import asdict, is_dataclass
from spank_container.errors import SpankContainerError
from spank_container.gateway.client import Gateway
from spank_container.gateway.wire import Realm
from spank_container.images.logins import Login
from spank_container.values.address import parse_address

def plain(found):
    if isinstance(found, tuple):
        return [plain(one) for one in found]
    return asdict(found) if is_dataclass(found) else found

def answer(address, munge, call, arguments, words):
    login = words.pop("login", None)
    if login:
        words["login"] = Login(*login)
    gateway = Gateway((parse_address(address),), Realm("gate", munge))
    try:
        return {"ok": plain(getattr(gateway, call)(*arguments, **words))}
    except SpankContainerError as error:
        return {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
    except Exception as error:
        return {"error": repr(error), "hint": "", "kind": "defect"}

def serve(number, words):
    print(json.dumps([number, answer(*words)]), flush=True)

for line in sys.stdin:
    threading.Thread(target=serve, args=json.loads(line)).start()
"""


class Refused(Exception):  # noqa: N818  # what the test expects is no error
    """What the client raised: its message, and `kind`, the name of its class."""

    def __init__(self, said: dict[str, str]) -> None:
        super().__init__(said["error"])
        self.hint, self.kind = said["hint"], said["kind"]


class Person:
    """`argv` makes of a command line one that runs as him."""

    def __init__(self, argv: Callable[[Sequence[str]], list[str]]) -> None:
        self._process = subprocess.Popen(
            argv([sys.executable, "-I", "-c", CLIENT]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._numbers = itertools.count()
        self._asked: dict[int, Future[Any]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, words: Sequence[Any]) -> Future[Any]:
        """[address, munge's socket, method, its arguments, its keyword arguments]."""
        number, asked = next(self._numbers), Future[Any]()
        self._asked[number] = asked
        assert self._process.stdin
        self._process.stdin.write(json.dumps([number, words]) + "\n")
        self._process.stdin.flush()
        return asked

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            number, said = json.loads(line)
            asked = self._asked.pop(number)
            if "error" in said:
                asked.set_exception(Refused(said))
            else:
                asked.set_result(said["ok"])

    def leave(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
