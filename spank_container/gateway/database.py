"""The gateway's SQLite file: its tables, and transactions that are on disk when they return.

SQLite 3.34 (RHEL 9) must do: no STRICT tables, no RETURNING.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, SiteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 1
_TABLES = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- a number is never given twice, or a client would follow another's pull
    reference TEXT NOT NULL,
    uid INTEGER NOT NULL,
    users TEXT NOT NULL,   -- JSON, whom the puller lets in
    groups TEXT NOT NULL,
    with_login INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'pulling', 'converting', 'ready', 'failed')),
    digest TEXT NOT NULL DEFAULT '',
    who TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    started REAL NOT NULL DEFAULT 0,
    finished REAL NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX one_unfinished ON requests (reference, uid) WHERE state NOT IN ('ready', 'failed');
CREATE INDEX by_state ON requests (state, not_before);
CREATE TABLE grants (
    digest TEXT NOT NULL,
    granter INTEGER NOT NULL,  -- the uid that could pull the image himself
    kind TEXT NOT NULL CHECK (kind IN ('puller', 'user', 'group')),
    id INTEGER NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (digest, granter, kind, id)
) WITHOUT ROWID;
CREATE TABLE uses (
    digest TEXT NOT NULL,
    reference TEXT NOT NULL,
    uid INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (digest, reference, uid)
) WITHOUT ROWID;
"""


class Database:
    """One connection for all threads, one at a time: every transaction is short."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = _opened(path)
        except sqlite3.Error as error:
            raise NodeError(f"opening the gateway's database: {error} [{path}]") from error

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk after the body, or nothing when it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose the last commits with the power
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT")
    elif version != _VERSION:
        connection.close()
        raise SiteError(f"the gateway's database is of version {version}, not {_VERSION} [{path}]")
    return connection
