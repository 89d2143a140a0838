"""The image store: plain files on a file system that all nodes share, read without locks.

    images/sha256-HEX.squashfs    the tree          images/sha256-HEX.json    what is known of it (ImageMeta)
    tags/REGISTRY/REPOSITORY/:TAG and /@DIGEST      each holds the digest of an image, as text
    tags/custom/NAME/:TAG                           the same for what was imported; no registry has such a name
    blobs/sha256/HEX              layers as the registry gave them, kept so that a shared base is downloaded once
    private/images, private/tags  the same for images that not everybody may use: closed to all but the writer and root
    images/sha256-HEX.removed     what was a .json: the image is gone for new jobs (see `removal`)
    images/sha256-HEX.failed      why the last pull of it went wrong, in words for whoever waits for it

An image is there when its .json is: the .squashfs is renamed into place and on disk before it, a tag after it. What
is being written has a name that begins with a dot. Nothing here knows of registries, layers or mounts, and importing
this is cheap, since the Prolog does it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spank_container.errors import ParseError, UserError
from spank_container.images import meta_json
from spank_container.images.durable import locked, make_folder, sync, write_file
from spank_container.images.store_files import broken, check_root, read_file, writing
from spank_container.images.tag_names import PATTERN, tag_file, tagged_name
from spank_container.values.access import unknown_image
from spank_container.values.image_format import ImageFormat
from spank_container.values.image_ref import Digest, ImageId, ImageRef, ImportedRef, RegistryRef, parse_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spank_container.values.access import Access
    from spank_container.values.image_meta import ImageMeta

_LARGEST_META = 8 << 20
_LARGEST_TAG = 256


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One line of `spank-container images`: `names` as typed after --image=, `created` in seconds since 1970."""

    names: tuple[str, ...]
    meta: ImageMeta
    created: float


@dataclass(frozen=True, slots=True)
class Store:
    """The store below `root`, which need not exist before the first `add`; a private one is a part of the `whole`.

    `wanted` is what is made of images that come in, and for which architecture tags are looked up.
    """

    root: Path
    whole: Path | None = None
    blob_folder: Path | None = None
    wanted: ImageFormat = field(default_factory=ImageFormat)

    @property
    def private(self) -> Store:
        """The images that have an `access`. Whoever is neither root nor the writer finds nothing in it."""
        return Store(self.root / "private", self.root, wanted=self.wanted)

    def apart(self, digest: Digest) -> Store:
        """The same store, with a folder of its own for the layers of one image.

        An image is no more than a list of digests: with one folder for all, whoever names a layer of a private image
        that is not his would get it from us.
        """
        return replace(self, blob_folder=self.root / "blobs" / _file_name(digest))

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def blobs(self) -> Path:
        return self.blob_folder or self.root / "blobs"

    @property
    def tags(self) -> Path:
        return self.root / "tags"

    def squashfs(self, digest: Digest) -> Path:
        """Where the image's file is or will be; `meta` says whether it is."""
        return self.images / f"{_file_name(digest)}.squashfs"

    def blob(self, digest: Digest) -> Path:
        algorithm, _, name = digest.partition(":")
        return self.blobs / algorithm / name

    def has(self, digest: Digest) -> bool:
        try:
            return self.beside(digest, "json").exists()
        except PermissionError:  # a user asks for what is private
            return False

    def meta(self, digest: Digest, kind: str = "json") -> ImageMeta:
        """UserError when the image is not in the store, SiteError when its description is broken.

        With "removed" as `kind` it is an image's that is gone for new jobs, but not for those that run in it.
        """
        path = self.beside(digest, kind)
        meta = self._described(path, digest)
        if (meta.access is None) != (self.whole is None):
            raise broken(path, "it does not say who may use it, or says it in the wrong place")
        return meta

    def _described(self, path: Path, digest: Digest) -> ImageMeta:
        data = self._read(path, _LARGEST_META)
        if data is None:
            raise unknown_image(digest)
        try:
            meta = meta_json.decode(data)
        except ValueError as error:
            raise broken(path, str(error)) from error
        if meta.digest != digest:
            raise broken(path, f"it describes {meta.digest}")
        return meta

    def resolve(self, ref: ImageRef) -> Digest:
        """The digest that `ref` means now, of an image that is in the store."""
        digest = self.pointed(ref)
        if digest and self.has(digest):
            return digest
        check_root(self.whole or self.root)
        hint = f"spank-container pull {ref}" if isinstance(ref, RegistryRef) else "see: spank-container images"
        raise UserError(f"the image {ref} is not in the store", hint)

    def add(self, digest: Digest, convert: Callable[[Path], ImageMeta], access: Access | None = None) -> ImageMeta:
        """Make the image unless it is there; `convert` writes the squashfs to the path that it gets.

        However many ask for a digest at once, one converts and the others wait for it. `access` is for a new image.
        """
        if self.has(digest):
            return self.meta(digest)
        with writing(self.root):
            self.make_folders()
            self._remove_rubbish()
            with locked(self.lock_path(digest)):
                if not self.has(digest) and not self._restore(digest, access):
                    self._convert(digest, convert, access)
        return self.meta(digest)

    def pointed(self, ref: ImageRef) -> Digest | None:
        """The digest that `ref` means, whether or not the image is there."""
        return ref.digest if isinstance(ref, ImageId) else self._tagged(ref)

    def tag(self, ref: RegistryRef | ImportedRef, digest: Digest) -> None:
        """Let `ref` mean `digest` from now on."""
        path = self._tag_path(ref)
        with writing(path):
            make_folder(path.parent)
            with locked(path.with_name(f".{path.name}.lock")):
                for rubbish in path.parent.glob(f".{path.name}.*.partial"):
                    rubbish.unlink()
                write_file(path, f"{digest}\n".encode())

    def untag(self, ref: RegistryRef | ImportedRef) -> None:
        """Let `ref` mean nothing."""
        self._tag_path(ref).unlink(missing_ok=True)

    def list(self) -> tuple[StoredImage, ...]:
        """All images, the newest first."""
        names = self.names()
        digests = [digest_of(path) for path in self.images.glob("*.json")]
        found = [self._stored(digest, names) for digest in digests if digest]
        return tuple(sorted(filter(None, found), key=lambda image: (-image.created, image.meta.digest)))

    def find(self, digest: Digest) -> StoredImage | None:
        """One image with all its names; None when it is not there."""
        return self._stored(digest, self.names()) if self.has(digest) else None

    def _stored(self, digest: Digest, names: dict[Digest, set[str]]) -> StoredImage | None:
        """None when it was removed since it was listed."""
        try:
            created = self.squashfs(digest).stat().st_mtime  # who may use the image changes, the squashfs does not
        except FileNotFoundError:
            return None
        return (
            StoredImage(tuple(sorted(names.get(digest, ()))), self.meta(digest), created) if self.has(digest) else None
        )

    def names(self) -> dict[Digest, set[str]]:
        names: dict[Digest, set[str]] = {}
        for path in self.tags.rglob(PATTERN):
            if digest := self._pointer(path):
                names.setdefault(digest, set()).add(tagged_name(path.relative_to(self.tags)))
        return names

    def _restore(self, digest: Digest, access: Access | None) -> bool:
        """Bring back an image that was removed, whose file nobody deleted yet."""
        mark = self.beside(digest, "removed")
        if not (mark.exists() and self.squashfs(digest).exists()):
            return False
        self.describe(replace(self._described(mark, digest), access=access))
        mark.unlink()
        return True

    def _convert(self, digest: Digest, convert: Callable[[Path], ImageMeta], access: Access | None) -> None:
        partial = self.images / f".{_file_name(digest)}.{os.getpid()}.{os.urandom(4).hex()}.partial"
        try:
            meta = convert(partial)
            sync(partial)
            meta = replace(meta, digest=digest, size=partial.stat().st_size, access=access)
            partial.chmod(0o644)
            partial.rename(self.squashfs(digest))
        finally:
            partial.unlink(missing_ok=True)
        sync(self.images)
        self.describe(meta)

    def describe(self, meta: ImageMeta) -> None:
        """Write what is known of an image, whose squashfs is there: from now on the image is."""
        write_file(self.beside(meta.digest, "json"), meta_json.encode(meta))

    def make_folders(self) -> None:
        if self.whole:
            make_folder(self.root, 0o700)
        make_folder(self.images)

    def _remove_rubbish(self) -> None:
        """What dead writers left: unfinished files, and a squashfs whose description was never written."""
        for path in [*self.images.glob(".*.partial"), *self.images.glob("*.squashfs")]:
            digest = digest_of(path)
            if digest is None or self._is_whole(path, digest):
                continue
            with locked(self.lock_path(digest), wait=False) as mine:
                if mine and not self._is_whole(path, digest):
                    path.unlink(missing_ok=True)

    def _is_whole(self, path: Path, digest: Digest) -> bool:
        return path.suffix == ".squashfs" and (self.has(digest) or self.beside(digest, "removed").exists())

    def _tagged(self, ref: RegistryRef | ImportedRef) -> Digest | None:
        # NAME@DIGEST may name what came in under a tag: the digest says all, the name nothing.
        return self._pointer(self._tag_path(ref)) or (ref.digest if isinstance(ref, RegistryRef) else None)

    def _pointer(self, path: Path) -> Digest | None:
        data = self._read(path, _LARGEST_TAG)
        if data is None:
            return None
        try:
            return parse_digest(data.decode("ascii", "replace").strip())
        except ParseError as error:
            raise broken(path, error.message) from error

    def _read(self, path: Path, largest: int) -> bytes | None:
        return read_file(path, largest, self.whole or self.root)

    def beside(self, digest: Digest, kind: str) -> Path:
        """A file about an image: "json", "removed" or "failed"."""
        return self.images / f"{_file_name(digest)}.{kind}"

    def lock_path(self, digest: Digest) -> Path:
        """Held by whoever makes, changes or removes the image."""
        return self.images / f".{_file_name(digest)}.lock"

    def _tag_path(self, ref: RegistryRef | ImportedRef) -> Path:
        return self.tags / tag_file(ref, self.wanted.architecture)


def _file_name(digest: Digest) -> str:
    return digest.replace(":", "-")


def digest_of(path: Path) -> Digest | None:
    """Of one of our files; None for a foreign one, which we leave alone."""
    try:
        return parse_digest(path.name.lstrip(".").split(".")[0].replace("-", ":", 1))
    except ParseError:
        return None
