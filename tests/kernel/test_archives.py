"""Images from files of every kind come out as the tree that went in; skopeo, umoci and mksquashfs have made the files."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from fake_registry import need
from tar_layers import folder, layer, link, member, symlink

from spank_container.errors import UserError
from spank_container.images.archives import import_image
from spank_container.images.store import Store
from spank_container.values.image_ref import Digest, ImportedRef

if TYPE_CHECKING:
    from pathlib import Path

MINE = ImportedRef("mine", "1")
BASE = layer(folder("etc"), member("etc/passwd", b"root:x:0:0::/:\n"), member("etc/gone", b"1"), folder("bin"))
UPPER = layer(
    member("etc/.wh.gone"), member("bin/su", b"#!", mode=0o4755), link("bin/too", "bin/su"), symlink("lib", "bin")
)
TREE = {
    "bin": "drwxr-xr-x",
    "bin/su": "-rwxr-xr-x",
    "bin/too": "-rwxr-xr-x",
    "etc": "drwxr-xr-x",
    "etc/passwd": "-rw-r--r--",
    "lib": "lrwxrwxrwx",
}


def run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("umoci", "skopeo", "mksquashfs", "sqfs2tar")
    path = tmp_path_factory.mktemp("made")
    image = f"{path / 'layout'}:tag"
    run("umoci", "init", "--layout", path / "layout")
    run("umoci", "new", "--image", image)
    for data in (BASE, UPPER):
        (path / "layer.tar").write_bytes(data)
        run("umoci", "raw", "add-layer", "--image", image, path / "layer.tar")
    run("umoci", "config", "--image", image, "--config.env", "A=b", "--config.workingdir", "/etc")
    return path / "layout"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


def listed(store: Store, digest: Digest) -> dict[str, str]:
    argv = ["unsquashfs", "-lln", str(store.squashfs(digest))]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split(" squashfs-root/") for line in lines if " squashfs-root/" in line]
    return {name.split(" -> ")[0]: line.split()[0] for line, name in rows}


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "oci"])
def test_an_archive_becomes_an_image(layout: Path, store: Store, tmp_path: Path, kind: str) -> None:
    source = f"oci:{layout}:tag"
    if kind != "oci":
        run("skopeo", "copy", source, f"{kind}:{tmp_path / 'archive'}:mine:1")
        source = f"{kind}:{tmp_path / 'archive'}"
    meta = import_image(source, MINE, store)
    assert listed(store, meta.digest) == TREE
    assert (meta.environment, meta.workdir, meta.passwd) == (("A=b",), "/etc", "root:x:0:0::/:\n")
    assert store.resolve(MINE) == meta.digest
    assert not list(store.root.rglob(".import-*"))


def test_a_squashfs_is_built_anew(layout: Path, store: Store, tmp_path: Path) -> None:
    run("umoci", "unpack", "--image", f"{layout}:tag", tmp_path / "bundle")
    run("mksquashfs", tmp_path / "bundle/rootfs", tmp_path / "mine.squashfs", "-quiet", "-no-progress")
    meta = import_image(f"squashfs:{tmp_path / 'mine.squashfs'}", MINE, store)
    assert listed(store, meta.digest) == TREE
    assert meta.passwd == "root:x:0:0::/:\n"  # noqa: S105  a file, not a password
    assert import_image(f"squashfs:{tmp_path / 'mine.squashfs'}", MINE, store).digest == meta.digest


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("docker-archive:{}", "cannot import custom:mine:1: "),
        ("oci:{}", "cannot import custom:mine:1: "),
        ("squashfs:{}", "hint: is it a squashfs file? try unsquashfs -stat {}"),
        ("oci-archive:/absent", "no such file or directory"),
        ("squashfs:/absent", "No such file or directory"),
    ],
)
def test_what_is_no_image_is_refused(store: Store, tmp_path: Path, source: str, words: str) -> None:
    need("skopeo", "sqfs2tar")
    file = tmp_path / "file"
    file.write_text("no image")
    with pytest.raises(UserError) as caught:
        import_image(source.format(file), MINE, store)
    assert words.format(file) in caught.value.report()
    assert store.list() == ()
    assert not list(store.root.rglob(".import-*"))


@pytest.mark.parametrize(
    ("source", "report"),
    [
        (
            "zip:/x",
            "there is no such kind of file\n    zip:/x\n    ^~~\nhint: write docker-archive, oci-archive, oci, squashfs:PATH",
        ),
        ("oci:", "the path is empty\n    oci:\n       ^\nhint: write oci:PATH"),
    ],
)
def test_a_source_that_is_none_is_told(store: Store, source: str, report: str) -> None:
    with pytest.raises(UserError) as caught:
        import_image(source, MINE, store)
    assert caught.value.report() == report


def test_a_layer_that_is_not_what_its_digest_says_is_refused(layout: Path, store: Store, tmp_path: Path) -> None:
    run("cp", "-a", layout, tmp_path / "layout")
    largest = max((tmp_path / "layout/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"cannot import custom:mine:1: .*igest"):
        import_image(f"oci:{tmp_path / 'layout'}:tag", MINE, store)
    assert store.list() == ()
