"""The layers of any image as one tar stream, read twice.

First the headers of all layers are read, side by side, and decide which member of which layer is at which path; then
the directories, links and pipes are written, and then the files' content as it passes by, layer for layer. `flatten`
does with one reading for nearly all images; this knows everything before it writes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from spank_container.errors import BusyError
from spank_container.images.flatten import check_size, refused, watched
from spank_container.images.layers import LayerError
from spank_container.images.members import Kind, Member, read_members
from spank_container.images.threads import side_by_side
from spank_container.images.tree import Directory, Leaf, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spank_container.images.flatten import Watcher
    from spank_container.images.layers import Layer, LayerStream
    from spank_container.images.members import Whiteout
    from spank_container.images.tar_writer import TarWriter


@dataclass(slots=True)
class File:
    """A regular file with all its names, sorted."""

    layer: int
    member: Member
    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Flat:
    """What is to be written: `entries` have no content, `files` stand in the order of their content in the layers."""

    tree: Tree
    entries: Sequence[Member]
    files: Sequence[File]

    @property
    def root(self) -> Member:
        return self.tree.root.member or Member("", Kind.DIRECTORY)

    @property
    def size(self) -> int:
        """How many bytes all files have together."""
        return sum(file.member.size for file in self.files)


def merge(layers: Sequence[Layer], on_layer: Callable[[], None] = lambda: None) -> Flat:
    """Read all headers, apply them from the bottom layer up; UserError names the layer and the member that is no
    good. `on_layer` is told of each."""
    tree = Tree()
    found = side_by_side(_read, layers, effort=lambda layer: layer.size)
    for number, layer in enumerate(layers):
        try:
            tree.apply(number, next(found))
        except LayerError as error:
            raise refused(layer, error) from error
        on_layer()
    flat = _flat(tree)
    check_size(flat.size)
    return flat


def _read(layer: Layer) -> list[Member | Whiteout]:
    with layer.stream() as stream:
        return list(read_members(stream))


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
    in_order = sorted(files.values(), key=lambda file: (file.layer, file.member.start))
    return Flat(tree, entries, in_order)


def write_merged(flat: Flat, layers: Sequence[Layer], sink: TarWriter, watcher: Watcher) -> None:
    """All of it but the root, of which mksquashfs takes the attributes as options."""
    for entry in flat.entries:
        sink.entry(entry)
    for number, files in groupby(flat.files, key=lambda file: file.layer):
        try:
            with layers[number].stream(verified=True) as stream:
                for file in files:
                    _write_file(stream, file, sink, watcher)
        except LayerError as error:
            message = f"layer {layers[number].digest} changed while it was read: {error}"
            raise BusyError(message, hint="pull the image again") from error
    sink.end()


def _write_file(stream: LayerStream, file: File, sink: TarWriter, watcher: Watcher) -> None:
    path, *links = file.paths
    member = file.member if path == file.member.path else replace(file.member, path=path)
    sink.file(member, watched(watcher, file.paths, stream, member))
    for link in links:
        sink.entry(Member(link, Kind.HARD_LINK, target=path))
