"""Images that go, and images that change hands: removed, brought back, deleted, let to others, made public.

Each step leaves a store that is whole. A removed image is gone for new jobs at once, while its file stays for jobs that
have it mounted: on a local file system an open file outlives its name, but an NFS server forgets it, and every node
that reads it then gets ESTALE. So `delete_free` waits until no job is left that started before the removal: such a
job may have it mounted, and no later one can, since the Prolog finds no description of it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, NodeError
from spank_container.images.durable import locked, make_folder, sync, write_file
from spank_container.images.store import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from spank_container.images.store import Store
    from spank_container.values.access import Access
    from spank_container.values.image_ref import Digest

_LONGEST_REASON = 4096
_DAY = 86400
_MARGIN = 300  # seconds; NFS clients believe what they know of a folder for a minute, and clocks differ


def remove(store: Store, digest: Digest) -> None:
    """Hide the image from new jobs. UserError when there is none."""
    with _changing(store, digest):
        if not store.has(digest):
            store.meta(digest)  # raises what is right for an absent image
        description = store.beside(digest, "json")
        now = time.time()
        os.utime(description, (now, now))  # of the removal, by our clock and not by a file server's
        description.rename(store.beside(digest, "removed"))
        sync(store.images)


def removed(store: Store) -> dict[Digest, float]:
    """The removed images whose files are still there, and when they were removed."""
    found = {path: digest_of(path) for path in store.images.glob("*.removed")}
    return {digest: path.stat().st_mtime for path, digest in found.items() if digest}


def delete(store: Store, digest: Digest) -> None:
    """Take the file of a removed image, unless it was brought back meanwhile."""
    with _changing(store, digest):
        mark = store.beside(digest, "removed")
        if mark.exists():
            if not store.has(digest):
                store.squashfs(digest).unlink(missing_ok=True)
            mark.unlink()


def delete_free(store: Store, starts: Callable[[], float | None], days: float) -> list[Digest]:
    """Delete the files of removed images that no job can have mounted any more; returns whose these were.

    `starts` says when the oldest job started, None for none; where it cannot, a file goes after so many `days`.
    """
    free = [digest for digest, when in removed(store).items() if _is_free(when, starts, days)]
    for digest in free:
        delete(store, digest)
    return free


def _is_free(when: float, starts: Callable[[], float | None], days: float) -> bool:
    if time.time() < when + _MARGIN:
        return False
    try:
        oldest = starts()
    except BusyError:
        return time.time() > when + days * _DAY
    return oldest is None or oldest > when + _MARGIN


def let_in(store: Store, digest: Digest, access: Access) -> None:
    """Change who may use a private image. UserError when there is none."""
    private = store.private
    with _changing(private, digest):
        private.describe(replace(private.meta(digest), access=access))


def publish(store: Store, digest: Digest) -> None:
    """Make a private image everybody's. Killed at any point, it is still one or the other, or both."""
    private = store.private
    if not private.has(digest):
        return
    make_folder(store.images)
    with _changing(private, digest), locked(store.lock_path(digest)):
        if not store.has(digest):
            store.squashfs(digest).unlink(missing_ok=True)  # of a publication that died here
            store.squashfs(digest).hardlink_to(private.squashfs(digest))
            sync(store.images)
            store.describe(replace(private.meta(digest), access=None))
        private.beside(digest, "json").unlink()
        private.squashfs(digest).unlink()


def note_failure(store: Store, digest: Digest, reason: str, uids: Collection[int] = ()) -> None:
    """Tell those who wait for the image, in a private store only `uids`, that it does not come, and why."""
    with _changing(store, digest):
        if not store.has(digest):
            note = {"reason": reason[:_LONGEST_REASON], "uids": sorted(uids)}
            write_file(store.beside(digest, "failed"), json.dumps(note).encode())


def forget_failure(store: Store, digest: Digest) -> None:
    """It is tried again, or is there."""
    store.beside(digest, "failed").unlink(missing_ok=True)


def failure(store: Store, digest: Digest, uid: int) -> str:
    """Why the last pull of the image went wrong, as far as `uid` may know; empty when none has."""
    try:
        note = json.loads(store.beside(digest, "failed").read_bytes())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""
    return str(note["reason"]) if not store.whole or uid in note["uids"] else ""


@contextmanager
def _changing(store: Store, digest: Digest) -> Iterator[None]:
    try:
        store.make_folders()
        with locked(store.lock_path(digest)):
            yield
    except OSError as error:
        raise NodeError.from_os_error("changing the image store", error, error.filename or store.root) from error
