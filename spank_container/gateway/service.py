"""The gateway's parts put together, and what a request means to them. Knows nothing of HTTP."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.gateway.answers import Pull
from spank_container.gateway.board import Board
from spank_container.gateway.catalog import Catalog
from spank_container.gateway.ledger import Ledger
from spank_container.gateway.metrics import Metrics, labelled
from spank_container.gateway.people import Caller, gids_of, uids_of
from spank_container.gateway.problems import NotAllowedError, NotHereError
from spank_container.gateway.queue import Queue
from spank_container.gateway.upkeep import Upkeep
from spank_container.gateway.workers import Workers
from spank_container.images.store import Store
from spank_container.values.image_ref import RegistryRef, parse_image_ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spank_container.gateway.answers import Image, Use
    from spank_container.gateway.database import Database
    from spank_container.gateway.queue import Request
    from spank_container.images.logins import Login
    from spank_container.site_config import SiteConfig


@dataclass(frozen=True, slots=True)
class Service:
    """One gateway; `start` before the first request and `stop` after the last."""

    config: SiteConfig
    queue: Queue
    ledger: Ledger
    board: Board
    catalog: Catalog
    workers: Workers
    upkeep: Upkeep
    metrics: Metrics

    def start(self) -> None:
        self.queue.recover()
        self.upkeep.start()
        self.workers.start()

    def stop(self) -> None:
        self.upkeep.stop()
        self.workers.stop()

    def ask(
        self, caller: Caller, reference: str, users: Sequence[str], groups: Sequence[str], login: Login | None
    ) -> Pull:
        """The caller wants an image; raises UserError for a reference that cannot be pulled."""
        wanted = parse_image_ref(reference)
        if not isinstance(wanted, RegistryRef):
            raise UserError(f"{wanted} names no registry to pull from", hint="write docker:NAME:TAG")
        request = self.queue.ask(
            str(wanted),
            caller.uid,
            uids_of(users),
            gids_of(groups),
            with_login=login is not None,
            most=self.config.gateway.most_pulls,
        )
        if login:
            self.board.keep_login(request.id, login)
        self.workers.wake()
        return self._view(request)

    def pull(self, caller: Caller, number: int) -> Pull:
        """NotHereError for another user's."""
        request = self.queue.get(number)
        if request is None or (request.uid != caller.uid and not caller.is_admin):
            raise NotHereError(f"there is no pull {number}", hint="finished pulls are forgotten after a while")
        return self._view(request)

    def pulls(self, caller: Caller) -> tuple[Pull, ...]:
        return tuple(map(self._view, self.queue.list(None if caller.is_admin else caller.uid)))

    def cancel(self, caller: Caller, number: int) -> None:
        """One that waits is not begun; one that has begun goes on for the others who asked."""
        pull = self.pull(caller, number)
        if not pull.over:
            self.queue.failed([number], "user", UserError("the pull was cancelled", hint=""))
            self.board.over([number])

    def expire(self, caller: Caller) -> tuple[Image, ...]:
        if not caller.is_admin:
            raise NotAllowedError("only administrators let images expire", hint="see [gateway] admins")
        return self.upkeep.expire()

    def usage(self, caller: Caller) -> tuple[Use, ...]:
        return self.ledger.usage(None if caller.is_admin else caller.uid)

    def metrics_text(self) -> str:
        images = {"public": self.catalog.store.list(), "private": self.catalog.store.private.list()}
        counts = {kind: float(len(found)) for kind, found in images.items()}
        sizes = {kind: float(sum(one.meta.size for one in found)) for kind, found in images.items()}
        uses = float(sum(count for count, _ in self.ledger.totals().values()))
        return self.metrics.text(
            {
                "requests": ("Requests in the database", labelled("state", dict(self.queue.counts()))),
                "images": ("Images in the store", labelled("kind", counts)),
                "image_bytes": ("Bytes of their files", labelled("kind", sizes)),
                "uses": ("Jobs that asked for an image", {"": uses}),
            }
        )

    def _view(self, request: Request) -> Pull:
        members = asdict(request)
        for name in ("uid", "users", "groups", "with_login", "not_before"):
            del members[name]
        waiting = self.queue.ahead(request) if request.state == "pending" else 0
        progress = asdict(self.board.progress(request.id))
        return Pull(**members | progress, version=self.board.version(request.id), waiting=waiting)


def build_service(config: SiteConfig, database: Database) -> Service:
    """Reads and starts nothing yet."""
    queue, ledger, board, metrics = Queue(database), Ledger(database), Board(), Metrics()
    catalog = Catalog(Store(Path(config.images.store), wanted=config.images.wanted), ledger)
    return Service(
        config=config,
        queue=queue,
        ledger=ledger,
        board=board,
        catalog=catalog,
        workers=Workers(config, queue, ledger, board, metrics),
        upkeep=Upkeep(config.gateway, catalog, queue, Caller(os.geteuid(), frozenset(), is_admin=True)),
        metrics=metrics,
    )
