"""Layers made by hand, and the tree that the conversion makes of them, read back from its stream."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from spank_container.images.findings import Finder
from spank_container.images.flatten import flatten as flatten_once
from spank_container.images.flatten import foresee_root
from spank_container.images.inflate import BROKEN, inflated
from spank_container.images.layers import Blob, Layer, opened
from spank_container.images.merge import merge, write_merged
from spank_container.images.sight import UnforeseenError
from spank_container.images.tar_writer import TarWriter
from spank_container.values.image_ref import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from spank_container.images.members import Member as Root

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", **attributes: object) -> Member:
    """A regular file, unless `attributes` of TarInfo say otherwise."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def folder(name: str, mode: int = 0o755, **attributes: Any) -> Member:  # noqa: ANN401  whatever TarInfo takes
    return member(name, type=tarfile.DIRTYPE, mode=mode, **attributes)


def symlink(name: str, target: str) -> Member:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def link(name: str, target: str) -> Member:
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def layer(*members: Member, form: Literal[0, 1, 2] = tarfile.PAX_FORMAT) -> bytes:
    archive = b""
    for info, data in members:
        archive += info.tobuf(form, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)
    return archive + bytes(1024)


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def blobs_of(layers: Sequence[bytes], path: Path) -> list[Blob]:
    blobs = []
    for data in layers:
        digest = digest_of(data)
        file = path / digest.replace(":", "-")
        file.write_bytes(data)
        blobs.append(Blob(digest, diff_id_of(data), len(data), file))
    return blobs


def diff_id_of(data: bytes) -> Digest:
    """Of the archive in a blob; where that cannot be decompressed, nobody gets to compare it."""
    try:
        return digest_of(inflated(io.BytesIO(data)).read())
    except BROKEN:
        return digest_of(b"")


@dataclass(slots=True)
class Flattened:
    """`tree` without content, by path; `content` and `names` (of the same file) of regular files, by path."""

    tree: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, frozenset[str]] = field(default_factory=dict)
    captured: dict[str, str] = field(default_factory=dict)
    root_mode: int = 0
    once: bool = True


def flatten(*layers: bytes, path: Path) -> Flattened:
    """By both ways, which must agree wherever one reading is enough."""
    once, twice = _written(layers, path, _once), _written(layers, path, _twice)
    assert twice is not None
    if once is None:
        return replace(twice, once=False)
    assert once.tree.keys() == twice.tree.keys()
    for name in once.tree:
        assert _seen(once, name) == _seen(twice, name)
    assert (once.captured, once.root_mode) == (twice.captured, twice.root_mode)
    return once


def _seen(found: Flattened, name: str) -> tuple[object, ...]:
    """What is at `name`, whichever of a file's names comes first."""
    info = found.tree[name]
    if info.islnk():
        info = found.tree[info.linkname]
    attributes = (info.type, info.mode, info.uid, info.gid, info.mtime, info.linkname)
    xattrs = {key: value for key, value in info.pax_headers.items() if "xattr" in key}
    return (*attributes, xattrs, found.names.get(name), found.content.get(name))


def _once(layers: list[Layer], sink: TarWriter, finder: Finder) -> Root:
    return flatten_once(layers, foresee_root(layers), sink, finder).root


def _twice(layers: list[Layer], sink: TarWriter, finder: Finder) -> Root:
    flat = merge(layers)
    write_merged(flat, layers, sink, finder)
    return flat.root


def _written(
    layers: Sequence[bytes], path: Path, write: Callable[[list[Layer], TarWriter, Finder], Root]
) -> Flattened | None:
    """The stream, read by tarfile; None where one reading is not enough."""
    finder = Finder()
    with opened(blobs_of(layers, path)) as open_layers, tempfile.TemporaryFile() as sink:
        try:
            root = write(open_layers, TarWriter(sink.fileno()), finder)
        except UnforeseenError:
            return None
        data = os.pread(sink.fileno(), os.fstat(sink.fileno()).st_size, 0)
    captured = {"etc/passwd": finder.passwd, "etc/group": finder.group}
    found = Flattened(captured={name: text for name, text in captured.items() if text}, root_mode=root.mode)
    stream = io.BytesIO(data)
    with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            _take(found, archive, info)
    assert data[stream.tell() - 512 :] == bytes(1024), "something stands after the end"
    parents = {name.rpartition("/")[0] for name in found.tree} - {""}
    assert all(found.tree[parent].isdir() for parent in parents)
    return found


def _take(found: Flattened, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    assert info.name not in found.tree, f"{info.name} comes twice"
    found.tree[info.name] = info
    if info.isreg():
        content = archive.extractfile(info)
        assert content is not None
        found.content[info.name] = content.read()
        found.names[info.name] = frozenset({info.name})
    elif info.islnk():
        found.content[info.name] = found.content[info.linkname]
        names = found.names[info.linkname] | {info.name}
        found.names.update(dict.fromkeys(names, names))
