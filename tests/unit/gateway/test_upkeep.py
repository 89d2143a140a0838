"""Removal and expiry, on a real store: what goes, when, and what a crash leaves."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from builders import DIGEST, OTHER_DIGEST, image

from spank_container.errors import BusyError, UserError
from spank_container.gateway.catalog import Catalog
from spank_container.gateway.database import Database
from spank_container.gateway.ledger import Ledger
from spank_container.gateway.people import Caller
from spank_container.gateway.queue import Queue
from spank_container.gateway.upkeep import Upkeep
from spank_container.images import removal
from spank_container.images.store import Store
from spank_container.site_config import GatewayConfig
from spank_container.slurm.starts import parse_starts
from spank_container.values.access import Access
from spank_container.values.image_ref import RegistryRef

if TYPE_CHECKING:
    from pathlib import Path

    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.image_ref import Digest

DAY = 86400
REF = RegistryRef("registry.x", "team/app", "1")
ADMIN = Caller(0, frozenset(), is_admin=True)
ALICE = Caller(1, frozenset({1}))
BOB = Caller(2, frozenset({2}))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def upkeep(store: Store, tmp_path: Path) -> Upkeep:
    database = Database(tmp_path / "sqlite")
    catalog = Catalog(store, Ledger(database))
    return Upkeep(GatewayConfig(expire_days=30), catalog, Queue(database), ADMIN, starts=lambda: None)


def add(store: Store, digest: Digest = DIGEST, access: Access | None = None) -> None:
    def convert(path: Path) -> ImageMeta:
        path.write_bytes(b"squashfs of " + digest.encode())
        return replace(image(), digest=digest)

    store.add(digest, convert, access)
    store.tag(REF, digest)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_removed_image_is_gone_but_for_its_file(store: Store) -> None:
    add(store)
    removal.remove(store, DIGEST)
    assert not store.has(DIGEST)
    assert store.list() == ()
    assert store.squashfs(DIGEST).exists()
    assert list(removal.removed(store)) == [DIGEST]
    with pytest.raises(UserError, match="is not in the store"):
        removal.remove(store, DIGEST)


def test_another_image_that_comes_does_not_take_the_file(store: Store) -> None:
    add(store)
    removal.remove(store, DIGEST)
    add(store, OTHER_DIGEST)
    assert store.squashfs(DIGEST).exists()


def test_who_pulls_it_again_gets_the_same_file(store: Store) -> None:
    add(store)
    inode = store.squashfs(DIGEST).stat().st_ino
    removal.remove(store, DIGEST)
    store.add(DIGEST, lambda _: pytest.fail("it was converted again"))
    assert store.squashfs(DIGEST).stat().st_ino == inode
    assert removal.removed(store) == {}
    removal.delete(store, DIGEST)
    assert store.squashfs(DIGEST).exists()


def test_a_private_image_that_comes_back_is_its_new_pullers(store: Store) -> None:
    add(store.private, access=Access(1, (2,)))
    removal.remove(store.private, DIGEST)
    add(store.private, access=Access(3))
    assert store.private.meta(DIGEST).access == Access(3)


@pytest.mark.parametrize(
    ("removed", "oldest", "goes"),
    [
        (3600, None, True),
        (3600, 3599, False),
        (3600, 7200, False),
        (3600, 3200, True),
        (3600, 3400, False),  # the margin
        (100, None, False),  # likewise
    ],
)
def test_the_file_stays_while_an_older_job_may_have_it_mounted(
    store: Store,
    upkeep: Upkeep,
    removed: float,
    oldest: float | None,
    goes: bool,  # noqa: FBT001  # a table
) -> None:
    add(store)
    removal.remove(store, DIGEST)
    age(store.beside(DIGEST, "removed"), removed)
    upkeep.starts = lambda: None if oldest is None else time.time() - oldest
    assert upkeep.delete() == goes
    assert store.squashfs(DIGEST).exists() != goes
    assert bool(removal.removed(store)) != goes


@pytest.mark.parametrize(("days", "goes"), [(13, False), (15, True)])
def test_without_slurm_the_file_stays_for_a_while(store: Store, upkeep: Upkeep, days: int, goes: bool) -> None:  # noqa: FBT001
    def silent() -> float | None:
        raise BusyError("slurmctld does not answer")

    add(store)
    removal.remove(store, DIGEST)
    age(store.beside(DIGEST, "removed"), days * DAY)
    upkeep.starts = silent
    assert upkeep.delete() == goes


def test_the_oldest_start() -> None:
    said = "PENDING 1700000100\nRUNNING 1700000300\nCOMPLETING 1700000200\nCOMPLETED 1600000000\nPENDING N/A\n"
    assert parse_starts(said) == 1700000200
    assert parse_starts("PENDING N/A\n") is None
    with pytest.raises(BusyError, match="was not understood"):
        parse_starts("RUNNING 2026-11-21T10:00:00\n")


def test_what_nobody_uses_expires(store: Store, upkeep: Upkeep) -> None:
    add(store)
    add(store, OTHER_DIGEST)
    for digest in (DIGEST, OTHER_DIGEST):
        age(store.squashfs(digest), 31 * DAY)
    upkeep.catalog.used(BOB, OTHER_DIGEST, "docker:team/app")
    assert [one.digest for one in upkeep.expire()] == [DIGEST]
    assert not store.has(DIGEST)
    assert store.has(OTHER_DIGEST)
    assert upkeep.expire() == ()


def test_a_read_is_a_use_too(store: Store, upkeep: Upkeep) -> None:
    add(store)
    long_ago = time.time() - 31 * DAY
    os.utime(store.squashfs(DIGEST), (time.time() - DAY, long_ago))
    assert upkeep.expire() == ()


def test_without_a_limit_nothing_expires(store: Store, upkeep: Upkeep) -> None:
    add(store)
    age(store.squashfs(DIGEST), 9999 * DAY)
    upkeep.config = GatewayConfig()
    assert upkeep.expire() == ()


def test_a_public_image_is_removed_by_who_alone_has_used_it(store: Store, upkeep: Upkeep) -> None:
    add(store)
    catalog = upkeep.catalog
    catalog.ledger.grant(DIGEST, ALICE.uid, (), ())
    with pytest.raises(UserError, match="is not yours alone to remove"):
        catalog.remove(BOB, DIGEST)
    catalog.used(BOB, DIGEST, "")
    with pytest.raises(UserError, match="is not yours alone to remove"):
        catalog.remove(ALICE, DIGEST)
    catalog.remove(ADMIN, DIGEST)
    assert not store.has(DIGEST)
    assert store.pointed(REF) is None


def test_a_private_image_becomes_public(store: Store) -> None:
    add(store.private, access=Access(1))
    inode = store.private.squashfs(DIGEST).stat().st_ino
    removal.publish(store, DIGEST)
    assert store.meta(DIGEST).access is None
    assert store.squashfs(DIGEST).stat().st_ino == inode
    assert not store.private.has(DIGEST)
    assert list(store.private.images.glob("sha256*")) == []


def test_a_publication_that_died_half_way_is_ended(store: Store) -> None:
    add(store.private, access=Access(1))
    store.images.mkdir()
    store.squashfs(DIGEST).hardlink_to(store.private.squashfs(DIGEST))
    add(store, OTHER_DIGEST)  # takes the link for rubbish
    assert store.private.squashfs(DIGEST).exists()
    removal.publish(store, DIGEST)
    assert store.meta(DIGEST).access is None


@pytest.mark.parametrize("place", ["public", "private"])
def test_a_description_in_the_wrong_place_is_refused(store: Store, place: str) -> None:
    add(store.private if place == "public" else store, access=Access(1) if place == "public" else None)
    (store.private if place == "private" else store).images.mkdir(parents=True)
    there, here = (store.private, store) if place == "public" else (store, store.private)
    there.beside(DIGEST, "json").rename(here.beside(DIGEST, "json"))
    with pytest.raises(Exception, match="it does not say who may use it, or says it in the wrong place"):
        here.meta(DIGEST)


def test_a_failure_is_told_to_those_it_concerns(store: Store) -> None:
    removal.note_failure(store, DIGEST, "no such tag")
    assert removal.failure(store, DIGEST, 7) == "no such tag"
    removal.forget_failure(store, DIGEST)
    assert removal.failure(store, DIGEST, 7) == ""
    removal.note_failure(store.private, DIGEST, "a secret", [1])
    assert (removal.failure(store.private, DIGEST, 1), removal.failure(store.private, DIGEST, 2)) == ("a secret", "")


def test_old_requests_are_forgotten(upkeep: Upkeep) -> None:
    request = upkeep.queue.ask("docker:a", 1, (), (), with_login=False, most=9)
    upkeep.queue.failed([request.id], "user", UserError("no"))
    upkeep._forget()
    assert len(upkeep.queue.list()) == 1
    upkeep.config = GatewayConfig(failure_days=0)
    upkeep._forget()
    assert upkeep.queue.list() == ()
