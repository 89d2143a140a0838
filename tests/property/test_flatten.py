"""Random stacks of layers against a model: paths in a dictionary, one rule a line."""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tar_layers import Flattened, Member, flatten, folder, layer, link, member, symlink

from spank_container.errors import UserError


@dataclass(frozen=True, slots=True)
class Entry:
    """One member to be: `data` makes each file its own, and is a link's target and a directory's mode too."""

    kind: str
    path: str
    data: str

    def packed(self) -> Member:
        head, slash, tail = self.path.rpartition("/")
        kinds = {
            "file": lambda: member(self.path, self.data.encode()),
            "folder": lambda: folder(self.path, 0o700 | int(self.data) % 64),
            "symlink": lambda: symlink(self.path, self.data),
            "link": lambda: link(self.path, self.data),
            "fifo": lambda: member(self.path, type=tarfile.FIFOTYPE),
            "device": lambda: member(self.path, type=tarfile.CHRTYPE),
            "whiteout": lambda: member(f"{head}{slash}.wh.{tail}"),
            "opaque": lambda: member(f"{self.path}/.wh..wh..opq"),
        }
        return kinds[self.kind]()


@dataclass(frozen=True, slots=True)
class Node:
    kind: str
    layer: int
    number: int  # of the member that made it: names with one number are one file
    data: str


Tree = dict[str, Node]


def prefixes(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def remove(tree: Tree, path: str, *, itself: bool = True) -> None:
    for name in list(tree):
        if name.startswith(f"{path}/") or (itself and name == path):
            del tree[name]


def model(layers: list[list[Entry]]) -> tuple[Tree, list[list[Entry]]]:
    """The tree, and the layers without the entries that have to be refused."""
    tree: Tree = {}
    sound: list[list[Entry]] = []
    for height, entries in enumerate(layers):
        hiding = [entry for entry in entries if entry.kind in {"whiteout", "opaque"}]
        for entry in hiding:
            remove(tree, entry.path, itself=entry.kind == "whiteout")
        numbered = [(height * 1000 + n, entry) for n, entry in enumerate(entries) if entry not in hiding]
        sound.append([entry for number, entry in numbered if add(tree, height, number, entry)] + hiding)
    return tree, sound


def add(tree: Tree, height: int, number: int, entry: Entry) -> bool:
    new = Node(entry.kind, height, number, entry.data)
    if entry.kind == "link":
        if entry.data not in tree or tree[entry.data].kind == "folder":
            return False
        new = tree[entry.data]
    parents = [(parent, tree[parent]) for parent in prefixes(entry.path) if parent in tree]
    wrong = [(parent, node.layer) for parent, node in parents if node.kind != "folder"]
    if any(layer == height for _, layer in wrong):
        return False
    for parent, _ in wrong:
        del tree[parent]
    for parent in prefixes(entry.path):
        tree.setdefault(parent, Node("folder", height, 0, "implied"))
    if new.kind != "folder":
        remove(tree, entry.path)
    tree[entry.path] = new
    return True


def check(tree: Tree, found: Flattened) -> None:
    shown = {path: node for path, node in tree.items() if node.kind != "device"}
    assert found.tree.keys() == shown.keys()
    for path, node in shown.items():
        info = found.tree[path]
        assert info.isdir() == (node.kind == "folder")
        assert info.issym() == (node.kind == "symlink")
        assert info.isfifo() == (node.kind == "fifo")
        if node.kind == "folder":
            assert info.mode == (0o755 if node.data == "implied" else 0o700 | int(node.data) % 64)
        elif node.kind == "symlink":
            assert info.linkname == node.data
        elif node.kind == "file":
            assert found.content[path] == node.data.encode()
            assert found.names[path] == {name for name, other in shown.items() if other == node}


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
NUMBERS = st.integers(0, 999).map(str)
ENTRIES = st.one_of(
    st.builds(
        Entry, st.sampled_from(["file", "file", "folder", "folder", "folder", "whiteout", "opaque"]), PATHS, NUMBERS
    ),
    st.builds(Entry, st.sampled_from(["fifo", "device", "whiteout"]), PATHS, NUMBERS),
    st.builds(Entry, st.sampled_from(["symlink", "link"]), PATHS, PATHS),
)
LAYERS = st.lists(st.lists(ENTRIES, max_size=8), min_size=1, max_size=5)


@settings(max_examples=600, deadline=None)
@given(LAYERS)
def test_the_tree_is_the_models(layers: list[list[Entry]]) -> None:
    tree, sound = model(layers)
    with tempfile.TemporaryDirectory() as place:
        if [len(entries) for entries in sound] != [len(entries) for entries in layers]:
            with pytest.raises(UserError, match=r"^layer sha256:[0-9a-f]{64}: member '"):
                flatten(*map(packed, layers), path=Path(place))
        check(tree, flatten(*map(packed, sound), path=Path(place)))


def packed(entries: list[Entry]) -> bytes:
    return layer(*(entry.packed() for entry in entries))
