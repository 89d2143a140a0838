"""Kernel tests: the real prolog() and epilog(), on the real kernel, each test in a mount namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kernel.miniature import ACCOUNTS, ALICE, Node

from spank_container import facts, planning
from spank_container.images import meta_json
from spank_container.install.compile import compile_shifter
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Digest]]:
    """A store with two small images of a static busybox; the first has links that lead astray."""
    store = tmp_path_factory.mktemp("images") / "store"
    (store / "images").mkdir(parents=True)
    digests = {}
    for number, name in enumerate(("one", "two", "files", "long", "proc", "vartmp")):
        tree = store.parent / name
        for folder in ("bin", "etc", "var", "run", "real"):
            (tree / folder).mkdir(parents=True)
        (tree / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
        (tree / "bin/busybox").chmod(0o6755)
        for applet in ("sh", "ls", "cat", "stat", "mount", "touch", "id", "df", "readlink", "dd"):
            (tree / "bin" / applet).symlink_to("busybox")
        (tree / "etc/name").write_text(name)
        (tree / "etc/passwd").write_text("x")
        (tree / "etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
        (tree / "var/run").symlink_to("/run")
        (tree / "loop").symlink_to("/loop")
        (tree / "trap").symlink_to("/etc")
        (tree / "escape").symlink_to("../../../../real")
        _spoil(tree, name)
        digest = Digest(f"sha256:{number:064x}")
        squashfs = store / "images" / f"{digest.replace(':', '-')}.squashfs"
        subprocess.run(["mksquashfs", tree, squashfs, "-quiet", "-no-progress", "-no-xattrs"], check=True)
        meta = ImageMeta(digest, "amd64", squashfs.stat().st_size, environment=("FOO=bar",), passwd=ACCOUNTS)
        (store / "images" / f"{digest.replace(':', '-')}.json").write_bytes(meta_json.encode(meta))
        digests[name] = digest
    return store, digests


def _spoil(tree: Path, name: str) -> None:
    """Hostile images: a folder of ours is a link to a file of ours, or to more than a path can hold, or to another."""
    links = {
        "files": {"var": "/etc/passwd"},
        "long": {"var": "/x" * 1500, "x": "/y" * 1500, "y": "/z" * 1500},
        "vartmp": {"var/tmp": "/tmp"},
        "proc": {"proc": "/etc", "dev": "/tmp", "tmp": "/var/../loop"},
    }.get(name, {})
    for link, target in links.items():
        if (tree / link).exists():
            shutil.rmtree(tree / link)
        (tree / link).symlink_to(target)


@pytest.fixture(scope="session")
def support(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `spank-container install` makes for containers."""
    folder = tmp_path_factory.mktemp("container")
    (folder / "shifter").write_bytes(compile_shifter())
    for path in (folder, folder / "shifter"):
        path.chmod(0o755)
    return folder


@pytest.fixture
def node(
    tmp_path: Path, image_files: tuple[Path, dict[str, Digest]], support: Path, monkeypatch: pytest.MonkeyPatch
) -> Node:
    store, digests = image_files
    # Users must get through to what is theirs; pytest keeps its folders to root.
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)  # one of them may be /tmp itself
    (tmp_path / "store").symlink_to(store)
    (tmp_path / "work").mkdir()
    os.chown(tmp_path / "work", ALICE, ALICE)
    made = Node(tmp_path, digests)
    monkeypatch.setattr(planning, "site_config", lambda _: made.config)
    monkeypatch.setattr(facts, "_SUPPORT", support)
    return made
