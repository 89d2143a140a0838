"""A removed image is gone for new jobs at once; its file goes when no job can have it mounted."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from spank_container.errors import BusyError, UserError
from spank_container.images.removal import delete_free, remove, removed
from spank_container.images.store import Store
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = Digest(f"sha256:{'a' * 64}")
HOUR = 3600.0


def fill(path: Path) -> ImageMeta:
    path.write_bytes(b"squashfs")
    return ImageMeta(DIGEST, "amd64", 8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With an image that was removed an hour ago."""
    found = Store(tmp_path / "store")
    found.add(DIGEST, fill)
    remove(found, DIGEST)
    then = time.time() - HOUR
    os.utime(found.beside(DIGEST, "removed"), (then, then))
    return found


def silent() -> float:
    raise BusyError("slurmctld does not answer")


def test_a_removed_image_is_gone_for_new_jobs_while_its_file_stays(store: Store) -> None:
    with pytest.raises(UserError, match="is not in the store"):
        store.meta(DIGEST)
    assert store.squashfs(DIGEST).exists()


@pytest.mark.parametrize(
    ("oldest", "goes"),
    [
        (None, True),  # no job is left
        (-HOUR / 2, True),  # all of them started long after the removal
        (-HOUR + 60, False),  # one may still have found it: clocks differ, and NFS clients remember
        (-2 * HOUR, False),  # one started before
    ],
)
def test_its_file_goes_with_the_last_job_that_may_have_it(store: Store, oldest: float | None, *, goes: bool) -> None:
    start = None if oldest is None else time.time() + oldest
    assert delete_free(store, lambda: start, days=14) == ([DIGEST] if goes else [])
    assert store.squashfs(DIGEST).exists() is not goes
    assert (DIGEST in removed(store)) is not goes


@pytest.mark.parametrize(("days", "goes"), [(14, False), (0.03, True)])
def test_where_slurm_is_silent_it_goes_after_some_days(store: Store, days: float, *, goes: bool) -> None:
    assert delete_free(store, silent, days) == ([DIGEST] if goes else [])


def test_one_that_was_just_removed_stays_whatever_slurm_says(store: Store) -> None:
    os.utime(store.beside(DIGEST, "removed"))
    assert delete_free(store, lambda: None, days=0) == []


def test_an_image_that_was_pulled_again_keeps_its_file(store: Store) -> None:
    store.add(DIGEST, fill)
    assert delete_free(store, lambda: None, days=14) == []
    assert store.meta(DIGEST).digest == DIGEST
    assert store.squashfs(DIGEST).exists()
