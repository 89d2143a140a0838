"""So many threads, each with one worker process at a time: from the queue to the worker, and back into the queue.

A worker does what the registry and the disk may make slow or fatal; here is decided what its reports mean. Whatever
kills a worker, its requests are tried again; whatever kills us, `Queue.recover` finds them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, NodeError, SpankContainerError, UserError
from spank_container.gateway.board import Progress
from spank_container.gateway.messages import Asker, Report, Task, read_report
from spank_container.images import removal
from spank_container.images.registry import passed_environment
from spank_container.images.store import Store
from spank_container.run import leashed
from spank_container.values.image_ref import parse_digest
from spank_container.values.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spank_container.gateway.board import Board
    from spank_container.gateway.ledger import Ledger
    from spank_container.gateway.metrics import Metrics
    from spank_container.gateway.queue import Queue, Request
    from spank_container.site_config import SiteConfig

_LOG = logging.getLogger(__name__)
_ARGV = (sys.executable, "-I", "-m", "spank_container.gateway.worker")
_IDLE = 1.0  # seconds until a thread looks for work that nobody told it of: a retry whose time has come
_SLOWDOWN = 3
_LONGEST_DELAY = 1800


@dataclass(slots=True)
class Workers:
    """`wake` after each new request; `stop` before the end."""

    config: SiteConfig
    queue: Queue
    ledger: Ledger
    board: Board
    metrics: Metrics
    _stopping: threading.Event = field(default_factory=threading.Event)
    _work: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for number in range(self.config.gateway.workers):
            thread = threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        self._work.release()

    def stop(self) -> None:
        """The processes die with their leashes; their requests are pending when the next gateway starts."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._work.acquire(timeout=_IDLE)
            try:
                self._work_off()
            except Exception:  # noqa: BLE001  # a disk that is full may have room again in a while
                _LOG.exception("the queue cannot be worked off")

    def _work_off(self) -> None:
        while not self._stopping.is_set() and (batch := self.queue.next_batch()):
            try:
                _Pull(self, batch).run()
            except Exception as error:  # noqa: BLE001  # a defect in one pull must not end all others
                self._give_up(batch, error)

    def _give_up(self, batch: Iterable[Request], error: Exception) -> None:
        ids = [request.id for request in batch]
        _LOG.error("pulls %s are given up", ids, exc_info=error)
        known = error if isinstance(error, SpankContainerError) else NodeError(f"this is a defect: {error!r}")
        self.queue.failed(ids, "node", known)
        self.board.over(ids)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()


class _Pull:
    """One batch, and what its worker says of it. `left` are the requests that are not decided yet."""

    def __init__(self, workers: Workers, batch: tuple[Request, ...]) -> None:
        self._config, self._queue, self._ledger = workers.config, workers.queue, workers.ledger
        self._board, self._metrics, self._workers = workers.board, workers.metrics, workers
        self._store = Store(Path(workers.config.images.store), wanted=workers.config.images.wanted)
        self._batch = {request.id: request for request in batch}
        self._left = set(self._batch)
        self._private: set[int] = set()
        self._reference = batch[0].reference
        self._started = time.monotonic()

    def run(self) -> None:
        uids = sorted(request.uid for request in self._batch.values())
        _LOG.info("pulling %s for uids %s", self._reference, uids)
        self._board.changed(self._left)
        try:
            self._listen()
        except SpankContainerError as error:
            if self._workers.stopping:
                return
            self._retry(tuple(self._left), BusyError(f"cannot pull {self._reference}: {error.message}"))
        if self._left and not self._workers.stopping:
            self._retry(tuple(self._left), BusyError(f"cannot pull {self._reference}: the worker said no more"))

    def _listen(self) -> None:
        with leashed(_ARGV, passed_environment(_proxies())) as (wanted, printed):
            stopped = threading.Thread(target=self._cut_off, args=(wanted,), daemon=True)
            wanted.write(self._task().line())
            wanted.flush()
            stopped.start()
            for line in printed:
                self._hear(read_report(line))

    def _cut_off(self, wanted: object) -> None:
        while self._left and not self._workers.stopping:
            time.sleep(0.1)
        if self._workers.stopping:
            wanted.close()  # type: ignore[attr-defined]  # the worker ends when its input does

    def _task(self) -> Task:
        limit = parse_size(self._config.images.blob_cache)
        askers = tuple(self._asker(request) for request in self._batch.values())
        logins = self._config.gateway.logins
        return Task(self._reference, str(self._store.root), limit, askers, self._store.wanted, logins)

    def _asker(self, request: Request) -> Asker:
        login = self._board.login(request.id)
        return Asker(request.id, request.uid, login.user, login.password) if login else Asker(request.id, request.uid)

    def _hear(self, report: Report) -> None:
        ids = tuple(number for number in report.ids if number in self._left)
        match report.kind:
            case "found":
                self._found(ids, report)
            case "progress":
                self._progress(ids, report)
            case "done":
                self._done(ids, report)
            case "failed":
                self._failed(ids, report.error, report.who)
            case _:
                raise ValueError(f"a worker said {report.kind!r}")

    def _found(self, ids: tuple[int, ...], report: Report) -> None:
        if report.private:
            self._private.update(ids)
        removal.forget_failure(self._part(private=report.private), parse_digest(report.digest))
        self._queue.found(ids, report.digest)
        self._board.changed(ids, Progress(layers=report.layers))

    def _progress(self, ids: tuple[int, ...], report: Report) -> None:
        if report.stage != "downloading" or report.done >= report.total:
            self._queue.converting(ids)
        self._board.changed(ids, Progress(report.stage, report.done, report.total, report.layers))

    def _done(self, ids: tuple[int, ...], report: Report) -> None:
        """Who may use it is in the store before anybody is told that it is there."""
        requests = [request for number in ids if (request := self._queue.get(number))]
        if report.private:
            self._let_in(requests, report)
        else:
            requests += self._queue.joined(self._reference)
            for request in requests:
                self._ledger.grant(report.digest, request.uid, (), ())
        ids = tuple(request.id for request in requests)
        self._queue.ready(ids, report.digest)
        self._finish(ids)
        self._metrics.pulled("ready", len(ids), time.monotonic() - self._started)

    def _let_in(self, requests: Iterable[Request], report: Report) -> None:
        digest = parse_digest(report.digest)
        kept = self._store.private.meta(digest).access
        if kept:
            self._ledger.adopt(digest, kept)
        for request in requests:
            self._ledger.grant(digest, request.uid, request.users, request.groups)
        access = self._ledger.access(digest)
        if access:
            removal.let_in(self._store, digest, access)

    def _failed(self, ids: tuple[int, ...], error: SpankContainerError, who: str) -> None:
        if isinstance(error, BusyError):
            self._retry(ids, error)
            return
        lost = [number for number in ids if self._batch[number].with_login and not self._board.login(number)]
        if isinstance(error, UserError) and lost:
            self._end(lost, "login", _login_lost(error))
            ids = tuple(number for number in ids if number not in lost)
        self._end(ids, who, error)

    def _retry(self, ids: tuple[int, ...], error: SpankContainerError) -> None:
        again = tuple(number for number in ids if self._batch[number].attempts < self._config.gateway.attempts)
        if again:
            delay = self._config.gateway.retry_delay * _SLOWDOWN ** (self._batch[again[0]].attempts - 1)
            self._queue.again(again, time.time() + min(delay, _LONGEST_DELAY), error)
            self._board.changed(again)
            self._left -= set(again)
            _LOG.info("%s is tried again: %s", self._reference, error.message)
        self._end([number for number in ids if number not in again], "busy", error)

    def _end(self, ids: Iterable[int], who: str, error: SpankContainerError) -> None:
        ids = tuple(ids)
        if not ids:
            return
        for number in ids:
            self._tell_the_nodes(number, error)
        self._queue.failed(ids, who, error)
        self._finish(ids)
        self._metrics.pulled("failed", len(ids), time.monotonic() - self._started)
        _LOG.info("%s failed: %s", self._reference, error.message)

    def _tell_the_nodes(self, number: int, error: SpankContainerError) -> None:
        """A job may wait for the image already, if the registry said what it is before it failed."""
        request = self._queue.get(number)
        if request and request.digest:
            digest = parse_digest(request.digest)
            uids = [other.uid for other in self._batch.values() if other.id in self._private]
            removal.note_failure(self._part(private=number in self._private), digest, error.report(), uids)

    def _part(self, *, private: bool) -> Store:
        return self._store.private if private else self._store

    def _finish(self, ids: tuple[int, ...]) -> None:
        self._left -= set(ids)
        self._board.over(ids)


def _login_lost(error: UserError) -> UserError:
    return UserError(
        f"{error.message}; the gateway was restarted, and keeps no passwords", hint="pull it again, with the same login"
    )


def _proxies() -> dict[str, str]:
    """Of the service's own environment: where its unit says so, pulls go through a proxy."""
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
