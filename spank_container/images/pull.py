"""From a registry into the store: find, download, convert, and keep what was learned on the way.

The story only; each step is its own module's. Needs no root, only a store that may be written.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from spank_container.errors import UserError
from spank_container.images import blob_cache
from spank_container.images.convert import convert
from spank_container.images.layers import Blob
from spank_container.images.registry import Registry
from spank_container.values.image_ref import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spank_container.images.convert import Progress
    from spank_container.images.image_config import Configuration, Manifest
    from spank_container.images.store import Store
    from spank_container.values.access import Access
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.image_ref import ImportedRef, RegistryRef

_POLL = 0.2


class Found(Protocol):
    """An image for one platform that was found somewhere; `task` says what is tried with it: "pull docker:NAME:TAG"."""

    @property
    def ref(self) -> RegistryRef | ImportedRef: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def manifest(self) -> Manifest: ...
    @property
    def task(self) -> str: ...


_FoundT_contra = TypeVar("_FoundT_contra", bound=Found, contravariant=True)


class Origin(Protocol[_FoundT_contra]):
    """Where images come from: a registry, or a file."""

    def configuration(self, image: _FoundT_contra) -> Configuration:
        """The image's configuration, checked."""

    def download(self, image: _FoundT_contra, blobs: Path, layout: Path) -> None:
        """Fetch the layers that `blobs` has not got; `layout` is rubbish after."""


def pull(
    ref: RegistryRef,
    store: Store,
    progress: Progress | None = None,
    registry: Registry | None = None,
    blob_limit: int | None = None,
) -> ImageMeta:
    """Bring what `ref` means now into the store, unless it is there, and let `ref` mean it there too.

    Of all layers that were ever downloaded, `blob_limit` bytes are kept for the next pull.
    """
    registry = registry or Registry.asking_for(store.wanted)
    return bring(registry.find(ref), store, progress, registry, blob_limit)


def bring(
    image: _FoundT_contra,
    store: Store,
    progress: Progress | None,
    origin: Origin[_FoundT_contra],
    blob_limit: int | None = None,
    access: Access | None = None,
) -> ImageMeta:
    """The same for an image that `origin` has found; `access` is for one that is new in a private store."""
    report = progress or (lambda _stage, _done, _total: None)
    meta = store.add(image.digest, lambda path: _convert(image, origin, store, path, report), access)
    store.tag(image.ref, image.digest)
    if blob_limit is not None and store.blobs.is_dir():
        blob_cache.trim(store.blobs, blob_limit)
    return meta


def _convert(
    image: _FoundT_contra, origin: Origin[_FoundT_contra], store: Store, path: Path, report: Progress
) -> ImageMeta:
    configuration = origin.configuration(image)
    with blob_cache.in_use(store.blobs):
        blobs = _blobs(image, configuration, store)
        _download(image, blobs, origin, store, report)
        try:
            return convert(image.digest, blobs, configuration, path, wanted=store.wanted, report=report)
        except UserError as error:
            raise UserError(f"cannot {image.task}: {error.message}", error.hint) from error


def _blobs(image: Found, configuration: Configuration, store: Store) -> list[Blob]:
    pairs = zip(image.manifest.layers, configuration.rootfs.diff_ids, strict=True)
    layers = [(Digest(layer.digest), Digest(diff_id), layer.size) for layer, diff_id in pairs]
    return [Blob(digest, diff_id, size, store.blob(digest)) for digest, diff_id, size in layers]


def _download(
    image: _FoundT_contra, blobs: Sequence[Blob], origin: Origin[_FoundT_contra], store: Store, report: Progress
) -> None:
    # The name is the digest's, whose lock we hold: what is there is a dead pull's.
    layout = store.blobs / f".{image.digest.replace(':', '-')}"
    shutil.rmtree(layout, ignore_errors=True)
    try:
        with _watched(blobs, layout, report):
            origin.download(image, store.blobs, layout)
    finally:
        shutil.rmtree(layout, ignore_errors=True)
    blob_cache.touch(blob.path for blob in blobs)


@contextmanager
def _watched(blobs: Sequence[Blob], layout: Path, report: Progress) -> Iterator[None]:
    """skopeo tells its progress to terminals only, so the files that it writes are looked at."""
    done = threading.Event()
    total = sum({blob.path: blob.size for blob in blobs}.values())

    def watch() -> None:
        while not done.wait(_POLL):
            report("downloading", min(total, _bytes_there(blobs, layout)), total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    report("downloading", total, total)


def _bytes_there(blobs: Sequence[Blob], layout: Path) -> int:
    files = {blob.path for blob in blobs} | set(layout.glob("oci-put-blob*"))
    size = 0
    for file in files:
        try:
            size += file.stat().st_size
        except FileNotFoundError:
            continue
    return size
