"""Who asked for which image, and how far that is: the part of it that must not be lost.

A request is one user's. All requests for one reference that wait together are one *batch*, which one worker serves.
Progress and logins are not here: see `board`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.gateway.problems import TooManyError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable

    from spank_container.errors import SpankContainerError
    from spank_container.gateway.answers import State
    from spank_container.gateway.database import Database

_UNFINISHED = "state NOT IN ('ready', 'failed')"
_RUNNING = "state IN ('pulling', 'converting')"


@dataclass(frozen=True, slots=True)
class Request:
    """A row of the table."""

    id: int
    reference: str
    uid: int
    users: tuple[int, ...]
    groups: tuple[int, ...]
    with_login: bool
    state: State
    digest: str
    who: str
    reason: str
    hint: str
    attempts: int
    not_before: float
    created: float
    started: float
    finished: float


@dataclass(frozen=True, slots=True)
class Queue:
    """The table; every method is one transaction."""

    database: Database

    def ask(
        self, reference: str, uid: int, users: Collection[int], groups: Collection[int], *, with_login: bool, most: int
    ) -> Request:
        """A new request, or the user's unfinished one for the same reference with whom he lets in now."""
        lists = json.dumps(sorted(users)), json.dumps(sorted(groups))
        own = f"reference = ? AND uid = ? AND {_UNFINISHED}"
        with self.database.change() as change:
            found = change.execute(
                f"UPDATE requests SET users = ?, groups = ?, with_login = max(with_login, ?) WHERE {own}",  # noqa: S608  # constants
                (*lists, with_login, reference, uid),
            )
            if not found.rowcount:
                _refuse_more(change, uid, most)
                change.execute(
                    "INSERT INTO requests (reference, uid, users, groups, with_login, state, created) "
                    "VALUES (?, ?, ?, ?, ?, 'pending', ?)",
                    (reference, uid, *lists, with_login, time.time()),
                )
            row = change.execute(f"SELECT * FROM requests WHERE {own}", (reference, uid)).fetchone()  # noqa: S608  # constants
        return _request(row)

    def next_batch(self) -> tuple[Request, ...]:
        """Takes the oldest reference that nobody works on: its requests are `pulling` now. Empty: nothing to do."""
        with self.database.change() as change:
            row = change.execute(
                "SELECT reference FROM requests WHERE state = 'pending' AND not_before <= ? AND reference NOT IN "  # noqa: S608  # constants
                f"(SELECT reference FROM requests WHERE {_RUNNING}) ORDER BY not_before, id LIMIT 1",
                (time.time(),),
            ).fetchone()
            if row is None:
                return ()
            change.execute(
                "UPDATE requests SET state = 'pulling', attempts = attempts + 1, started = ?, reason = '' "
                "WHERE reference = ? AND state = 'pending'",
                (time.time(), row["reference"]),
            )
            query = "SELECT * FROM requests WHERE reference = ? AND state = 'pulling' ORDER BY id"
            rows = change.execute(query, (row["reference"],)).fetchall()
        return tuple(map(_request, rows))

    def found(self, ids: Iterable[int], digest: str) -> None:
        """The registry said what the reference means: a job can be pinned to it before the image is there."""
        self._set(ids, _RUNNING, digest=digest)

    def converting(self, ids: Iterable[int]) -> None:
        self._set(ids, "state = 'pulling'", state="converting")

    def ready(self, ids: Iterable[int], digest: str) -> None:
        self._set(ids, _UNFINISHED, state="ready", digest=digest, finished=time.time())

    def joined(self, reference: str) -> tuple[Request, ...]:
        """Those who asked for the reference while a worker was at it."""
        rows = self.database.rows("SELECT * FROM requests WHERE reference = ? AND state = 'pending'", reference)
        return tuple(map(_request, rows))

    def failed(self, ids: Iterable[int], who: str, error: SpankContainerError) -> None:
        """For good; the reason stays as long as the request does."""
        words = {"who": who, "reason": error.message, "hint": error.hint}
        self._set(ids, _UNFINISHED, state="failed", finished=time.time(), **words)

    def again(self, ids: Iterable[int], not_before: float, error: SpankContainerError | None = None) -> None:
        """To be tried once more, not before then."""
        reason = error.message if error else ""
        self._set(ids, _UNFINISHED, state="pending", not_before=not_before, reason=reason)

    def recover(self) -> int:
        """What a dead gateway was at is pending again; how many these are."""
        with self.database.change() as change:
            return change.execute(f"UPDATE requests SET state = 'pending', not_before = 0 WHERE {_RUNNING}").rowcount  # noqa: S608  # a constant

    def forget(self, before: float) -> int:
        """Drop the requests that were over before then."""
        with self.database.change() as change:
            return change.execute(
                f"DELETE FROM requests WHERE NOT ({_UNFINISHED}) AND finished < ?",  # noqa: S608  # a constant
                (before,),
            ).rowcount

    def get(self, number: int) -> Request | None:
        rows = self.database.rows("SELECT * FROM requests WHERE id = ?", number)
        return _request(rows[0]) if rows else None

    def list(self, uid: int | None = None) -> tuple[Request, ...]:
        """The newest first; those of `uid` only, where it is given."""
        rows = self.database.rows("SELECT * FROM requests WHERE ?1 IS NULL OR uid = ?1 ORDER BY id DESC", uid)
        return tuple(map(_request, rows))

    def counts(self) -> dict[str, int]:
        """How many requests are in each state."""
        rows = self.database.rows("SELECT state, count(*) AS number FROM requests GROUP BY state")
        return {row["state"]: row["number"] for row in rows}

    def ahead(self, request: Request) -> int:
        """How many references will be taken before this one."""
        rows = self.database.rows(
            "SELECT count(DISTINCT reference) AS number FROM requests WHERE state = 'pending' AND id < ?", request.id
        )
        return int(rows[0]["number"])

    def _set(self, ids: Iterable[int], where: str, **values: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self.database.change() as change:
            change.executemany(
                f"UPDATE requests SET {columns} WHERE id = ? AND {where}",  # noqa: S608  # names of ours
                [(*values.values(), number) for number in ids],
            )


def _refuse_more(change: sqlite3.Connection, uid: int, most: int) -> None:
    query = f"SELECT count(*) FROM requests WHERE uid = ? AND {_UNFINISHED}"  # noqa: S608  # a constant
    if change.execute(query, (uid,)).fetchone()[0] >= most:
        raise TooManyError(f"you have {most} unfinished pulls already", hint="wait for some of them")


def _request(row: sqlite3.Row) -> Request:
    values = dict(row)
    lists = {name: tuple(json.loads(values.pop(name))) for name in ("users", "groups")}
    return Request(**values | lists | {"with_login": bool(values["with_login"])})
