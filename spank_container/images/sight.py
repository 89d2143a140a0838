"""What can be seen of each layer below those above it, decided member by member, from the top layer down.

So every layer is read once. The rules are those of `tree`, as far as they can be followed without knowing what comes
later; where they cannot, which tools for images never bring about, UnforeseenError says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spank_container.images.members import Kind, Member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.images.members import Whiteout


class UnforeseenError(Exception):
    """What was decided already is wrong, or cannot be decided yet."""


@dataclass(slots=True, eq=False)
class _Place:
    """A path. Numbers are of layers, -1 is none.

    The highest that has a directory here or implies it as a parent is `directory`, the lowest so far `lately`; the
    lowest that has something else here is `leaf`. Layers below `closed` show nothing here or below here, layers below
    `emptied` nothing below here. `member` is what is seen here, of layer `owner`; a directory has none while it is
    only implied.
    """

    children: dict[str, _Place] = field(default_factory=dict)
    directory: int = -1
    lately: int = -1
    leaf: int = -1
    closed: int = -1
    emptied: int = -1
    owner: int = -1
    member: Member | None = None


class Sight:
    """Layers are looked at from the top down, each from its first member to its last."""

    def __init__(self) -> None:
        self._root = _Place()
        # Where the last member was: what is said of a folder stands for the rest of the layer.
        self._last: tuple[int, str] = (-1, "")
        self._last_place: _Place | None = None

    @property
    def root(self) -> Member:
        return self._root.member or Member("", Kind.DIRECTORY)

    def hide(self, layer: int, whiteout: Whiteout) -> None:
        """It is about the layers below, wherever it stands in its own."""
        place = self._root
        for name in whiteout.path.split("/") if whiteout.path else ():
            place = place.children.setdefault(name, _Place())
        if whiteout.opaque:
            place.emptied = max(place.emptied, layer)
        else:
            place.closed = max(place.closed, layer)

    def shows(self, layer: int, member: Member) -> bool:
        """Whether `member` of `layer` is seen; a directory comes to the rest in the end, see `directories`."""
        place = self._reach(layer, member.path)
        if place is None:
            return False
        if member.kind is Kind.DIRECTORY:
            return self._shows_directory(place, layer, member)
        if layer in {place.leaf, place.lately}:
            raise UnforeseenError(f"{member.path} is in layer {layer} twice")
        hidden = place.directory > layer
        place.leaf = place.closed = layer
        if not hidden:
            place.member = member
        return not hidden

    def _shows_directory(self, place: _Place, layer: int, member: Member) -> bool:
        if place.leaf == layer:
            raise UnforeseenError(f"{member.path} is in layer {layer} twice")
        _imply(place, layer)
        if place.owner in {-1, layer}:
            place.member, place.owner = member, layer
        return place.owner == layer

    def _reach(self, layer: int, path: str) -> _Place | None:
        """The place of `path`, its parents now directories; None when a layer above hides it."""
        if not path:
            return self._root
        folder, _, name = path.rpartition("/")
        if self._last != (layer, folder):
            self._last_place = self._enter(layer, folder)
            self._last = (layer, folder)
        return self._below(layer, self._last_place, name) if self._last_place else None

    def _enter(self, layer: int, folder: str) -> _Place | None:
        """A directory of the layer's, and so are all above it."""
        place: _Place | None = self._root
        _imply(self._root, layer)
        for name in folder.split("/") if folder else ():
            place = self._below(layer, place, name) if place else None
            if place is None:
                return None
            if place.leaf == layer:
                raise UnforeseenError(f"{folder} is no directory in layer {layer}")
            _imply(place, layer)
        return place

    @staticmethod
    def _below(layer: int, folder: _Place, name: str) -> _Place | None:
        place = folder.children.get(name)
        if place is None:
            place = folder.children[name] = _Place()
        return None if folder.emptied > layer or place.closed > layer else place

    def directories(self) -> Iterator[Member]:
        """All that are seen but the root, sorted."""
        waiting = [("", self._root)]
        while waiting:
            path, place = waiting.pop()
            if place.directory < 0:
                continue
            if path:
                yield replace(place.member, path=path) if place.member else Member(path, Kind.DIRECTORY)
            start = f"{path}/" if path else ""
            waiting += [(start + name, place.children[name]) for name in sorted(place.children, reverse=True)]

    def find(self, path: str) -> Member | None:
        """What is seen at `path`; no symbolic link is followed."""
        place: _Place | None = self._root
        for name in path.split("/"):
            place = place.children.get(name) if place else None
        if place and place.directory >= 0:
            return Member(path, Kind.DIRECTORY)
        return place.member if place else None


def _imply(place: _Place, layer: int) -> None:
    place.directory = max(place.directory, layer)
    place.lately = layer
