"""What of a request is in memory only: how far it is, the login it came with, and a number that grows with each change.

A gateway that is restarted has an empty board: progress starts anew, and logins are gone, as passwords should be.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spank_container.images.logins import Login


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` bytes of a stage, in an image of so many `layers`."""

    stage: str = ""
    done: int = 0
    total: int = 0
    layers: int = 0


class Board:
    """Shared by the routes and the workers' threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first = int(time.time() * 1000)  # no number of the gateway before us is one of ours
        self._numbers = itertools.count(self._first + 1)
        self._versions: dict[int, int] = {}
        self._progress: dict[int, Progress] = {}
        self._logins: dict[int, Login] = {}
        self.closed = False

    def close(self) -> None:
        """Nobody need wait for news any more."""
        self.closed = True

    def changed(self, ids: Iterable[int], progress: Progress | None = None) -> None:
        """Something about these requests is new; without `progress` it is not that."""
        with self._lock:
            for number in ids:
                self._versions[number] = next(self._numbers)
                if progress:
                    self._progress[number] = progress

    def version(self, number: int) -> int:
        return self._versions.get(number, self._first)

    def is_news(self, number: int, seen: int) -> bool:
        """Whether to answer one who knows the version `seen`."""
        return self.closed or self.version(number) != seen

    def progress(self, number: int) -> Progress:
        return self._progress.get(number, Progress())

    def keep_login(self, number: int, login: Login | None) -> None:
        with self._lock:
            if login:
                self._logins[number] = login
            else:
                self._logins.pop(number, None)

    def login(self, number: int) -> Login | None:
        return self._logins.get(number)

    def over(self, ids: Iterable[int]) -> None:
        """The login has done its duty."""
        ids = tuple(ids)
        with self._lock:
            for number in ids:
                self._logins.pop(number, None)
                self._progress.pop(number, None)
        self.changed(ids)
