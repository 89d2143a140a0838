"""The queue and the ledger: what is in the database when the gateway dies."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from spank_container.errors import SiteError, UserError
from spank_container.gateway.database import Database
from spank_container.gateway.ledger import Ledger
from spank_container.gateway.problems import TooManyError
from spank_container.gateway.queue import Queue, Request
from spank_container.values.access import Access

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.sqlite"


@pytest.fixture
def queue(file: Path) -> Queue:
    return Queue(Database(file))


@pytest.fixture
def ledger(file: Path) -> Ledger:
    return Ledger(Database(file))


def ask(queue: Queue, reference: str = "docker:a", uid: int = 1, *, with_login: bool = False) -> Request:
    return queue.ask(reference, uid, (5,), (), with_login=with_login, most=3)


def states(queue: Queue) -> list[str]:
    return [request.state for request in reversed(queue.list())]


def test_what_is_asked_for_is_on_disk(queue: Queue, file: Path) -> None:
    request = ask(queue)
    assert (request.state, request.users, request.groups, request.attempts) == ("pending", (5,), (), 0)
    assert Queue(Database(file)).get(request.id) == request


def test_a_batch_has_all_who_ask_for_a_reference(queue: Queue) -> None:
    first, second = ask(queue, uid=1), ask(queue, uid=2)
    ask(queue, "docker:b", uid=3)
    batch = queue.next_batch()
    assert [request.id for request in batch] == [first.id, second.id]
    assert states(queue) == ["pulling", "pulling", "pending"]
    assert [request.reference for request in queue.next_batch()] == ["docker:b"]
    assert queue.next_batch() == ()


def test_who_comes_late_waits_for_the_one_that_is_pulled(queue: Queue) -> None:
    ask(queue, uid=1)
    queue.next_batch()
    late = ask(queue, uid=2)
    assert queue.next_batch() == ()
    assert queue.joined("docker:a") == (late,)


def test_the_unfinished_one_is_changed_and_not_doubled(queue: Queue) -> None:
    first = ask(queue, with_login=True)
    second = queue.ask("docker:a", 1, (6,), (7,), with_login=False, most=1)
    assert (second.id, second.users, second.groups, second.with_login) == (first.id, (6,), (7,), True)


def test_a_number_is_never_given_twice(queue: Queue) -> None:
    request = ask(queue)
    queue.failed([request.id], "user", UserError("no"))
    assert queue.forget(time.time() + 1) == 1
    assert ask(queue).id > request.id


def test_one_user_has_so_many_at_most(queue: Queue) -> None:
    for name in "abc":
        ask(queue, f"docker:{name}")
    with pytest.raises(TooManyError, match="you have 3 unfinished pulls already"):
        ask(queue, "docker:d")
    ask(queue, "docker:d", uid=2)


def test_after_a_death_what_was_begun_is_pending(queue: Queue, file: Path) -> None:
    ids = [ask(queue, f"docker:{name}", uid=number).id for number, name in enumerate("abcd")]
    for number in ids:
        queue.next_batch()
        if number == ids[1]:
            queue.converting([number])
        if number == ids[2]:
            queue.ready([number], "sha256:x")
        if number == ids[3]:
            queue.failed([number], "user", UserError("gone", hint="look"))
    assert states(queue) == ["pulling", "converting", "ready", "failed"]
    again = Queue(Database(file))
    assert again.recover() == 2
    assert states(again) == ["pending", "pending", "ready", "failed"]
    failed = again.get(ids[3])
    assert failed is not None
    assert (failed.who, failed.reason, failed.hint) == ("user", "gone", "look")


def test_a_retry_waits_for_its_time(queue: Queue) -> None:
    request = ask(queue)
    queue.next_batch()
    queue.again([request.id], time.time() + 60, UserError("the registry is down"))
    assert queue.next_batch() == ()
    found = queue.get(request.id)
    assert found is not None
    assert (found.state, found.reason, found.attempts) == ("pending", "the registry is down", 1)


def test_what_is_over_stays_over(queue: Queue) -> None:
    request = ask(queue)
    queue.ready([request.id], "sha256:x")
    queue.failed([request.id], "busy", UserError("late news"))
    queue.again([request.id], 0)
    assert states(queue) == ["ready"]


def test_a_transaction_that_raises_leaves_nothing(file: Path) -> None:
    database, row = Database(file), ("d", "r", 1, 1, 0, 0)
    with pytest.raises(sqlite3.IntegrityError), database.change() as change:
        change.executemany("INSERT INTO uses VALUES (?, ?, ?, ?, ?, ?)", [row, row])
    assert database.rows("SELECT * FROM uses") == []


def test_a_database_of_a_later_version_is_refused(file: Path) -> None:
    Database(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SiteError, match="is of version 99, not 1"):
        Database(file)


KILLED = """
import os, sys
from pathlib import Path
from spank_container.gateway.database import Database
from spank_container.gateway.queue import Queue
queue = Queue(Database(Path(sys.argv[1])))
for number in range(1000):
    request = queue.ask(f"docker:{number}", 1, (), (), with_login=False, most=9999)
    print(request.id, flush=True)
    if number == 20:
        os.kill(os.getpid(), 9)
"""


def test_what_was_told_survives_a_kill(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, file], capture_output=True, text=True, check=False)
    told = [int(line) for line in done.stdout.split()]
    assert done.returncode == -9
    assert len(told) == 21
    assert {request.id for request in Queue(Database(file)).list()} >= set(told)


def test_the_first_puller_is_the_owner(ledger: Ledger) -> None:
    assert ledger.access("d") is None
    ledger.grant("d", 9, (), ())
    ledger.grant("d", 1, (3,), (4,))
    assert ledger.access("d") == Access(9, (1, 3), (4,))


def test_each_puller_changes_his_own(ledger: Ledger) -> None:
    ledger.grant("d", 9, (3,), (4,))
    ledger.grant("d", 1, (3,), ())
    ledger.grant("d", 9, (), ())
    assert ledger.access("d") == Access(9, (1, 3), ())


def test_who_removes_forgets_all(ledger: Ledger) -> None:
    ledger.grant("d", 9, (3,), ())
    ledger.disown("d")
    assert ledger.access("d") is None


def test_the_store_is_believed_when_the_database_is_new(ledger: Ledger) -> None:
    kept = Access(9, (3,), (4,))
    ledger.adopt("d", kept)
    assert ledger.access("d") == kept
    ledger.adopt("d", Access(1))
    assert ledger.access("d") == kept


def test_uses_add_up(ledger: Ledger) -> None:
    for uid in (1, 2, 1):
        ledger.use("d", "docker:a", uid)
    assert {use.uid: use.count for use in ledger.usage()} == {1: 2, 2: 1}
    assert [use.count for use in ledger.usage(1)] == [2]
    assert ledger.totals()["d"][0] == 3
    assert ledger.users_of("d") == {1, 2}
