"""The process that pulls one reference: `python -m spank_container.gateway.worker`, started by the gateway only.

It asks the registry without a login (or with the site's) first: what anybody gets is public. Where that is refused,
each asker has to be let in by the registry himself, and the image is private. It owns nothing: the gateway decides what
a failure means.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SpankContainerError, UserError
from spank_container.gateway.messages import Report, failure, read_task
from spank_container.images import removal
from spank_container.images.durable import make_folder
from spank_container.images.pull import bring
from spank_container.images.registry import Registry, passed_environment
from spank_container.images.store import Store
from spank_container.values.access import Access
from spank_container.values.image_ref import RegistryRef, parse_image_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spank_container.gateway.messages import Asker, Task
    from spank_container.images.registry import RemoteImage

    Tell = Callable[[Report], None]

_PAUSE = 0.2  # seconds between two reports of progress


def main() -> None:
    """Read the task, do it, and tell how it goes."""
    task = read_task(sys.stdin.buffer.readline())
    threading.Thread(target=_die_with_the_gateway, daemon=True).start()
    lock = threading.Lock()

    def tell(report: Report) -> None:
        with lock:
            sys.stdout.buffer.write(report.line())
            sys.stdout.buffer.flush()

    try:
        work(task, tell)
    except SpankContainerError as error:
        tell(failure(tuple(asker.id for asker in task.askers), error))


def _die_with_the_gateway() -> None:
    """PR_SET_PDEATHSIG would be of the thread that started us, and would not reach skopeo."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def work(task: Task, tell: Tell) -> None:
    """Raises what concerns all askers that have had no report of their own."""
    reference = parse_image_ref(task.reference)
    if not isinstance(reference, RegistryRef):
        raise UserError(f"{reference} names no registry to pull from", hint="write docker:NAME:TAG")
    store = Store(Path(task.store), wanted=task.wanted)
    with _registry(store, reference, logins=task.logins) as everybodys:
        try:
            image = everybodys.find(reference)
        except UserError as refusal:
            _pull_privately(task, reference, store, refusal, tell)
            return
        ids = tuple(asker.id for asker in task.askers)
        tell(Report("found", ids, image.digest, layers=len(image.manifest.layers)))
        _pull_publicly(image, everybodys, store, task, tell)
        tell(Report("done", ids, image.digest))


def _pull_publicly(image: RemoteImage, registry: Registry, store: Store, task: Task, tell: Tell) -> None:
    if store.private.has(image.digest):
        _prove(image, registry, store.private)
        removal.publish(store, image.digest)
    ids = tuple(asker.id for asker in task.askers)
    bring(image, store, _Progress(tell, ids, image), registry, task.blob_limit)
    store.private.untag(image.ref)


def _prove(image: RemoteImage, registry: Registry, private: Store) -> None:
    """That the registry has the image, and not only its manifest, unless the image came from there.

    Whoever knows the manifest of somebody else's private image can serve it from a registry of his own, which tells
    nobody no. The layers he has not got; skopeo checks their digests.
    """
    stored = private.find(image.digest)
    if stored is None or any(_is_from(name, image.ref) for name in stored.names):
        return
    place = private.apart(image.digest)
    make_folder(place.blobs, 0o700)
    try:
        registry.download(image, place.blobs, place.blobs / ".layout")
    finally:
        shutil.rmtree(place.blobs, ignore_errors=True)


def _is_from(name: str, reference: RegistryRef) -> bool:
    known = parse_image_ref(name)
    return isinstance(known, RegistryRef) and (known.registry, known.repository) == (
        reference.registry,
        reference.repository,
    )


def _pull_privately(task: Task, reference: RegistryRef, store: Store, refusal: UserError, tell: Tell) -> None:
    """Each asker by his own login; whoever has none reads what the registry said to nobody in particular."""
    let_in: dict[str, list[Asker]] = {}
    for asker in task.askers:
        try:
            image = _found_by(asker, reference, store, refusal)
        except SpankContainerError as error:
            tell(failure((asker.id,), error))
        else:
            tell(Report("found", (asker.id,), image.digest, private=True, layers=len(image.manifest.layers)))
            let_in.setdefault(image.digest, []).append(asker)
    for askers in let_in.values():
        ids = tuple(asker.id for asker in askers)
        try:
            tell(_brought_privately(askers, ids, reference, store, tell))
        except SpankContainerError as error:
            tell(failure(ids, error))


def _found_by(asker: Asker, reference: RegistryRef, store: Store, refusal: UserError) -> RemoteImage:
    if not asker.user:
        raise refusal
    with _registry(store, reference, asker) as registry:
        return registry.find(reference)


def _brought_privately(
    askers: Sequence[Asker], ids: tuple[int, ...], reference: RegistryRef, store: Store, tell: Tell
) -> Report:
    with _registry(store, reference, askers[0]) as registry:
        image = registry.find(reference)
        if store.has(image.digest):  # once everybody's, always everybody's: it may be so under another name
            store.tag(reference, image.digest)
            return Report("done", ids, image.digest)
        _prove(image, registry, store.private)
        place = store.private.apart(image.digest)
        try:
            bring(image, place, _Progress(tell, ids, image), registry, access=Access(askers[0].uid))
        finally:
            shutil.rmtree(place.blobs, ignore_errors=True)
        store.untag(reference)
        return Report("done", ids, image.digest, private=True)


@contextmanager
def _registry(store: Store, reference: RegistryRef, asker: Asker | None = None, logins: str = "") -> Iterator[Registry]:
    """As `asker`, or as nobody in particular, who has the site's `logins` if there are any.

    skopeo reads an asker's login from a file that has no name and dies with us; without any file named, it would look
    for one of the account's own.
    """
    document = {"auths": {reference.registry: {"auth": _auth(asker)}} if asker else {}}
    file = os.memfd_create("logins", os.MFD_CLOEXEC)
    try:
        os.write(file, json.dumps(document).encode())
        path = logins or f"/proc/{os.getpid()}/fd/{file}"
        yield Registry.asking_for(store.wanted, passed_environment(os.environ) | {"REGISTRY_AUTH_FILE": path})
    finally:
        os.close(file)


def _auth(asker: Asker) -> str:
    return b64encode(f"{asker.user}:{asker.password}".encode()).decode()


class _Progress:
    """Tells of each new stage at once, and otherwise now and then."""

    def __init__(self, tell: Tell, ids: tuple[int, ...], image: RemoteImage) -> None:
        self._tell, self._ids, self._layers = tell, ids, len(image.manifest.layers)
        self._stage, self._next = "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == self._stage and done < total and time.monotonic() < self._next:
            return
        self._stage, self._next = stage, time.monotonic() + _PAUSE
        self._tell(Report("progress", self._ids, stage=stage, done=done, total=total, layers=self._layers))


if __name__ == "__main__":
    main()
