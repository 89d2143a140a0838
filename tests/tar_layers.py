"""Layers made by hand, and the tree that the conversion makes of them, read back from its stream."""

from __future__ import annotations

import hashlib
import io
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from spank_container.images.flatten import merge, write_tar
from spank_container.images.layers import Blob, opened
from spank_container.values.image_ref import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
        blobs.append(Blob(digest, len(data), file))
    return blobs


@dataclass(slots=True)
class Flattened:
    """`tree` without content, by path; `content` and `names` (of the same file) of regular files, by path."""

    tree: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, frozenset[str]] = field(default_factory=dict)
    captured: dict[str, bytes] = field(default_factory=dict)
    root_mode: int = 0


def flatten(*layers: bytes, path: Path) -> Flattened:
    """The stream, read by tarfile; it must name a parent before a child, and nothing twice."""
    sink = io.BytesIO()
    with ExitStack() as stack:
        open_layers = [stack.enter_context(opened(blob)) for blob in blobs_of(layers, path)]
        flat = merge(open_layers)
        captured = write_tar(flat, open_layers, sink)
    found = Flattened(captured=captured, root_mode=flat.root.mode)
    sink.seek(0)
    with tarfile.open(fileobj=sink, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            _take(found, archive, info)
    assert sink.getvalue()[sink.tell() - 512 :] == bytes(1024), "something stands after the end"
    return found


def _take(found: Flattened, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    parent = info.name.rpartition("/")[0]
    assert not parent or found.tree[parent].isdir(), f"{info.name} comes before its folder"
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
