"""Images from files: archives of docker and podman, OCI layouts, squashfs files.

Each becomes a folder as a registry's image would have in the blob cache, and is then converted like any other: nothing
that a user has made is mounted, and a squashfs is read by a program that has no rights but the caller's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import ParseError, UserError
from spank_container.images.documents import LARGEST_CONFIG, read_configuration, read_manifest, refuse, verify
from spank_container.images.durable import make_folder
from spank_container.images.pull import bring
from spank_container.images.registry import last_words, local_architecture
from spank_container.run import ProgramFailedError, reading_from, run
from spank_container.values.image_ref import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.images.convert import Progress
    from spank_container.images.image_config import Configuration, Manifest
    from spank_container.images.store import Store
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.image_ref import ImportedRef

KINDS = ("docker-archive", "oci-archive", "oci", "squashfs")
_COPY_TIME = 3600
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _ArchivedImage:
    """What was found in a layout; `digest` is that of `manifest`."""

    ref: ImportedRef
    digest: Digest
    manifest: Manifest
    task: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """A folder with the blobs of one image, below blobs/, and the index.json that names its manifest."""

    folder: Path

    def find(self, ref: ImportedRef) -> _ArchivedImage:
        task = f"import {ref}"
        entry = json.loads((self.folder / "index.json").read_bytes())["manifests"][0]
        digest = Digest(entry["digest"])
        data = self._blob(digest).read_bytes()
        verify(task, data, digest)
        return _ArchivedImage(ref, digest, read_manifest(task, data), task)

    def configuration(self, image: _ArchivedImage) -> Configuration:
        descriptor = image.manifest.config
        if descriptor.size > LARGEST_CONFIG:
            refuse(image.task, f"its configuration has {descriptor.size} bytes, {LARGEST_CONFIG} are allowed")
        data = self._blob(Digest(descriptor.digest)).read_bytes()
        return read_configuration(image.task, data, image.manifest, local_architecture())

    def download(self, image: _ArchivedImage, blobs: Path, layout: Path) -> None:
        """All is here already."""

    def _blob(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")


def import_image(source: str, ref: ImportedRef, store: Store, progress: Progress | None = None) -> ImageMeta:
    """Bring the image in the file or folder `source`, "KIND:PATH", into the store, as `ref`.

    Raises UserError for what is no image.
    """
    kind, path = _parse_source(source)
    make_folder(store.blobs, 0o700)
    with _emptied_folder(store.blobs) as folder:
        if kind == "squashfs":
            _unpack_squashfs(path, ref, folder)
        else:
            _copy(f"{kind}:{path}", ref, folder)
        layout = _Layout(folder)
        return bring(layout.find(ref), replace(store, blob_folder=folder / "blobs"), progress, layout)


def _parse_source(source: str) -> tuple[str, str]:
    kind, colon, path = source.partition(":")
    if not colon or kind not in KINDS:
        raise ParseError(
            "there is no such kind of file", source, (0, max(1, len(kind))), hint=f"write {', '.join(KINDS)}:PATH"
        )
    if not path:
        raise ParseError("the path is empty", source, (len(kind), len(kind) + 1), hint=f"write {kind}:PATH")
    return kind, path


@contextmanager
def _emptied_folder(blobs: Path) -> Iterator[Path]:
    """Beside the blobs, where there is room for layers; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=".import-", dir=blobs))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _copy(source: str, ref: ImportedRef, folder: Path) -> None:
    """By skopeo, which chooses this machine's platform, and applies the site's signature policy."""
    options = ["--quiet", "--remove-signatures", "--dest-oci-accept-uncompressed-layers"]
    try:
        run(["skopeo", "copy", *options, source, f"oci:{folder}:image"], timeout=_COPY_TIME)
    except ProgramFailedError as error:
        raise UserError(
            f"cannot import {ref}: {last_words(error.stderr)}",
            hint=f"check the path and the kind; to see it again: skopeo inspect {source}",
        ) from error


def _unpack_squashfs(path: str, ref: ImportedRef, folder: Path) -> None:
    """One layer with all that is in it."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer = folder / "layer.tar"
    try:
        with (
            open(os.devnull, "rb") as nothing,
            reading_from(["sqfs2tar", "--no-skip", os.path.abspath(path)], nothing.fileno()) as tar_stream,
            layer.open("xb") as file,
        ):
            shutil.copyfileobj(tar_stream, file, _CHUNK)
    except ProgramFailedError as error:
        raise UserError(
            f"cannot import {ref}: {error.stderr.splitlines()[-1] if error.stderr else 'it is no squashfs'} [{path}]",
            hint=f"is it a squashfs file? try unsquashfs -stat {path}",
        ) from error
    tar = _add_file(blobs, layer)
    rootfs = {"type": "layers", "diff_ids": [tar["digest"]]}
    config = _add(blobs, {"architecture": local_architecture(), "os": "linux", "config": {}, "rootfs": rootfs})
    manifest = {
        "schemaVersion": 2,
        "config": config | {"mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [tar | {"mediaType": "application/vnd.oci.image.layer.v1.tar"}],
    }
    index = {"schemaVersion": 2, "manifests": [_add(blobs, manifest)]}
    (folder / "index.json").write_text(json.dumps(index))


def _add(blobs: Path, document: object) -> dict[str, object]:
    data = json.dumps(document, sort_keys=True).encode()
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def _add_file(blobs: Path, file: Path) -> dict[str, object]:
    with file.open("rb") as source:
        name = hashlib.file_digest(source, "sha256").hexdigest()
    file.rename(blobs / name)
    return {"digest": f"sha256:{name}", "size": (blobs / name).stat().st_size}
