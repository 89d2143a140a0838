"""The layers of an image as one tar stream, without a tree on disk and without root.

First the headers of all layers are read, bottom up, and decide which member of which layer is at which path; then
the directories, links and pipes are written, and then the files' content as it passes by, layer for layer. Memory
grows with the number of members, never with their size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import IO, TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.images.layers import CHUNK, LayerError
from spank_container.images.members import Kind, Member, read_members
from spank_container.images.tar_header import END, padding, tar_header
from spank_container.images.tree import Directory, Leaf, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spank_container.images.layers import Layer, LayerStream
    from spank_container.images.members import Content

_LARGEST_TREE = 1 << 40
_LARGEST_CAPTURE = 64 << 10
_CAPTURED = frozenset({"etc/passwd", "etc/group"})
_ZEROS = bytes(CHUNK)


@dataclass(slots=True)
class File:
    """A regular file with all its names, sorted."""

    layer: int
    member: Member
    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Flat:
    """What is to be written: `entries` have no content, `files` stand in the order of their content in the layers."""

    root: Member
    entries: Sequence[Member]
    files: Sequence[File]

    @property
    def size(self) -> int:
        """How many bytes all files have together."""
        return sum(file.member.content.size for file in self.files)

    @property
    def newest(self) -> int:
        """The latest time of any member."""
        members = (*self.entries, *(file.member for file in self.files))
        return max((member.mtime for member in members), default=0)


def merge(layers: Sequence[Layer], on_layer: Callable[[int], None] = lambda _: None) -> Flat:
    """Read all headers, from the bottom layer up; UserError names the layer and the member that is no good."""
    tree = Tree()
    for number, layer in enumerate(layers):
        try:
            with layer.stream() as stream:
                members = read_members(stream)
            tree.apply(number, members)
        except LayerError as error:
            raise UserError(f"layer {layer.digest}: {error}", hint="the image has to be built again") from error
        on_layer(number)
    flat = _flat(tree)
    if flat.size > _LARGEST_TREE:
        raise UserError(f"the files of the image claim {flat.size} bytes", hint=f"{_LARGEST_TREE} at most")
    return flat


def _flat(tree: Tree) -> Flat:
    entries: list[Member] = []
    files: dict[Leaf, File] = {}
    for path, node in tree.walk():
        if isinstance(node, Directory):
            entries.append(replace(node.member, path=path) if node.member else Member(path, Kind.DIRECTORY))
        elif node.member.kind is Kind.FILE:
            files.setdefault(node, File(node.layer, node.member)).paths.append(path)
        elif node.member.kind is not Kind.DEVICE:
            # mksquashfs takes hard links to files only; a second symbolic link is the same to all who look.
            entries.append(replace(node.member, path=path))
    in_order = sorted(files.values(), key=lambda file: (file.layer, file.member.content.start))
    return Flat(tree.root.member or Member("", Kind.DIRECTORY), entries, in_order)


def write_tar(
    flat: Flat, layers: Sequence[Layer], sink: IO[bytes], on_bytes: Callable[[int], None] = lambda _: None
) -> dict[str, bytes]:
    """Write the stream to `sink`; the content of /etc/passwd and /etc/group comes back, where it is a small file.

    The root is not in it: mksquashfs takes its attributes as options.
    """
    captured: dict[str, bytes] = {}
    for entry in flat.entries:
        sink.write(tar_header(entry))
    for number, files in groupby(flat.files, key=lambda file: file.layer):
        with layers[number].stream() as stream:
            for file in files:
                captured |= _write_file(stream, file, sink, on_bytes)
    sink.write(END)
    return captured


def _write_file(stream: LayerStream, file: File, sink: IO[bytes], on_bytes: Callable[[int], None]) -> dict[str, bytes]:
    wanted = _CAPTURED.intersection(file.paths) if file.member.content.size <= _LARGEST_CAPTURE else ()
    kept = bytearray()
    sink.write(tar_header(replace(file.member, path=file.paths[0])))
    for data in _bytes_of(stream, file.member.content):
        sink.write(data)
        on_bytes(len(data))
        if wanted:
            kept += data
    sink.write(padding(file.member.content.size))
    for path in file.paths[1:]:
        sink.write(tar_header(Member(path, Kind.HARD_LINK, target=file.paths[0])))
    return dict.fromkeys(wanted, bytes(kept))


def _bytes_of(stream: LayerStream, content: Content) -> Iterator[bytes]:
    stream.seek(content.start)
    position = 0
    for offset, length in content.extents:
        yield from _zeros(offset - position)
        yield from stream.chunks(length)
        position = offset + length
    yield from _zeros(content.size - position)


def _zeros(size: int) -> Iterator[bytes]:
    for start in range(0, size, CHUNK):
        yield _ZEROS[: size - start]
