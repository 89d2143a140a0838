"""The layers of an image as one tar stream, without a tree on disk and without root: each is read once.

From the top layer down, what is seen of a layer is written while it passes by; the directories come last, when it is
known from which layer their attributes are. Memory grows with the number of paths, never with the size of files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from spank_container.errors import UserError
from spank_container.images.layers import LayerError
from spank_container.images.members import Kind, Member, Whiteout, content, read_members
from spank_container.images.sight import Sight, UnforeseenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spank_container.images.layers import Layer, LayerStream
    from spank_container.images.tar_writer import TarWriter

_LARGEST_TREE = 1 << 40


class Watcher(Protocol):
    """Who wants to see the content of some files as it passes by; `paths` are the names of one file."""

    def wants(self, paths: Sequence[str], size: int) -> bool: ...

    def take(self, paths: Sequence[str], content: bytes) -> None: ...


def foresee_root(layers: Sequence[Layer]) -> Member:
    """The root's attributes, which are needed before anything is read: it stands first in a layer or, mostly, nowhere.

    What is wrong with a layer is found again, and said, when it is read.
    """
    for layer in reversed(layers):
        try:
            with layer.stream() as stream:
                first = next(read_members(stream), None)
        except LayerError:
            continue
        if isinstance(first, Member) and not first.path:
            return first
    return Member("", Kind.DIRECTORY)


def flatten(layers: Sequence[Layer], root: Member, sink: TarWriter, watcher: Watcher) -> Sight:
    """Write all but the root; UserError names the layer and the member that is no good.

    UnforeseenError when reading once is not enough for these layers, or `root` is not the root's.
    """
    writer = _Flattener(sink, watcher)
    for number in reversed(range(len(layers))):
        try:
            with layers[number].stream() as stream:
                writer.write_layer(number, stream)
        except LayerError as error:
            raise refused(layers[number], error) from error
    if writer.sight.root != root:
        raise UnforeseenError("the root does not stand first in its layer")
    for directory in writer.sight.directories():
        sink.entry(directory)
    sink.end()
    return writer.sight


@dataclass(slots=True)
class _Leaf:
    """What a path of the present layer is; `written` as which path, if it was."""

    member: Member
    written: str = ""


@dataclass(slots=True)
class _Flattener:
    sink: TarWriter
    watcher: Watcher
    sight: Sight = field(default_factory=Sight)
    size: int = 0

    def write_layer(self, number: int, stream: LayerStream) -> None:
        leaves: dict[str, _Leaf] = {}
        for found in read_members(stream):
            if isinstance(found, Whiteout):
                self.sight.hide(number, found)
            elif found.kind is Kind.HARD_LINK:
                leaves[found.path] = self._link(number, found, leaves.get(found.target))
            elif found.kind is Kind.DIRECTORY:
                self.sight.shows(number, found)
            else:
                seen = self.sight.shows(number, found)
                leaves[found.path] = _Leaf(found, found.path if seen else "")
                if seen:
                    self._write(found, stream)

    def _write(self, member: Member, stream: LayerStream) -> None:
        if member.kind is Kind.FILE:
            self.size += member.size
            check_size(self.size)
            self.sink.file(member, watched(self.watcher, [member.path], stream, member))
        elif member.kind is not Kind.DEVICE:
            self.sink.entry(member)

    def _link(self, number: int, link: Member, target: _Leaf | None) -> _Leaf:
        """A link is to what its target was when it was made: in the same layer it has passed by already."""
        if target is None:
            raise UnforeseenError(f"{link.path} is a hard link to something in another layer")
        named = replace(target.member, path=link.path)
        if not self.sight.shows(number, named):
            return target
        if named.kind is not Kind.FILE:
            # mksquashfs takes hard links to files only; a second symbolic link is the same to all who look.
            if named.kind is not Kind.DEVICE:
                self.sink.entry(named)
        elif not target.written or self.watcher.wants([link.path], named.size):
            raise UnforeseenError(f"{link.path} is a hard link to content that has passed by")
        else:
            self.sink.entry(Member(link.path, Kind.HARD_LINK, target=target.written))
        return target


def watched(
    watcher: Watcher, paths: Sequence[str], stream: LayerStream, member: Member
) -> Iterator[bytes | memoryview]:
    """The content of a file, which `watcher` has seen if it wants to."""
    data = content(stream, member)
    if not watcher.wants(paths, member.size):
        return data
    whole = b"".join(data)
    watcher.take(paths, whole)
    return iter((whole,))


def check_size(size: int) -> None:
    """Of all files together: holes cost nothing, and an image of petabytes fits into a kilobyte."""
    if size > _LARGEST_TREE:
        raise UserError(f"the files of the image claim {size} bytes", hint=f"{_LARGEST_TREE} at most")


def refused(layer: Layer, error: LayerError) -> UserError:
    return UserError(f"layer {layer.digest}: {error}", hint="the image has to be built again")
