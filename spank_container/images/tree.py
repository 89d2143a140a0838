"""The merged tree: which entry of which layer is at which path, decided from the members alone.

The rules are those of the OCI image specification, and where it is silent those of an overlay of the layers, one
directory a layer, which is how Docker, podman and containerd run an image: what a layer implies as a parent becomes a
directory there, even over a file or a symbolic link of a layer below. No symbolic link is ever followed. A member
below something that the same layer says is no directory is refused: tools would disagree about it.

This needs all headers of all layers before any content; `sight` decides most images without.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spank_container.images.layers import LayerError
from spank_container.images.members import Kind, Member, Whiteout, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(slots=True, eq=False)
class Directory:
    """`member` is from the highest layer that has an entry for it; None when it is only implied."""

    member: Member | None = None
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Leaf:
    """All but a directory. Hard links are one leaf with several names, so a name that goes leaves the others whole."""

    layer: int
    member: Member


Node = Directory | Leaf


class Tree:
    """Layers are applied from the bottom up."""

    def __init__(self) -> None:
        self.root = Directory()

    def apply(self, layer: int, found: Sequence[Member | Whiteout]) -> None:
        """Whiteouts first: they are about the layers below, wherever they stand in the archive."""
        for whiteout in found:
            if isinstance(whiteout, Whiteout):
                self._remove(whiteout)
        for member in found:
            if isinstance(member, Member):
                self._add(layer, member)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """All paths but the root's, sorted, a directory before what is in it."""
        # A stack and not a recursion: two thousand directories in each other are a valid path.
        waiting: list[tuple[str, Node]] = [("", self.root)]
        while waiting:
            path, node = waiting.pop()
            if path:
                yield path, node
            if isinstance(node, Directory):
                start = f"{path}/" if path else ""
                waiting += [(start + name, node.children[name]) for name in sorted(node.children, reverse=True)]

    def find(self, path: str) -> Member | None:
        """What is at `path`; no symbolic link is followed."""
        node = self._find(path)
        return (node.member or Member(path, Kind.DIRECTORY)) if node else None

    def _find(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in path.split("/") if path else ():
            if not isinstance(node, Directory):
                return None
            node = node.children.get(name)
        return node

    def _remove(self, whiteout: Whiteout) -> None:
        if whiteout.opaque:
            emptied = self._find(whiteout.path)
            if isinstance(emptied, Directory):
                emptied.children.clear()
            return
        folder, _, name = whiteout.path.rpartition("/")
        parent = self._find(folder)
        if isinstance(parent, Directory):
            parent.children.pop(name, None)

    def _add(self, layer: int, member: Member) -> None:
        if not member.path:
            self.root.member = member
            return
        folder, _, name = member.path.rpartition("/")
        # A link is looked up before its parents are made: they may take the place of what it links to.
        linked = self._linked(member) if member.kind is Kind.HARD_LINK else None
        parent = self._make_parent(layer, folder, member)
        old = parent.children.get(name)
        if linked:
            parent.children[name] = linked
        elif member.kind is not Kind.DIRECTORY:
            parent.children[name] = Leaf(layer, member)
        elif isinstance(old, Directory):
            old.member = member
        else:
            parent.children[name] = Directory(member)

    def _make_parent(self, layer: int, path: str, member: Member) -> Directory:
        folder = self.root
        for name in path.split("/") if path else ():
            child = folder.children.get(name)
            if isinstance(child, Leaf) and child.layer == layer:
                raise LayerError(f"member {show(member.path)}: in the same layer, {show(name)} is no directory")
            if not isinstance(child, Directory):
                child = folder.children[name] = Directory()
            folder = child
        return folder

    def _linked(self, member: Member) -> Leaf:
        node = self._find(member.target)
        if isinstance(node, Leaf):
            return node
        why = "a directory" if node else "not there"
        raise LayerError(f"member {show(member.path)}: it is a hard link to {show(member.target)}, which is {why}")
