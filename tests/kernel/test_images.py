"""Images from Debian's docker-registry to a mounted squashfs, compared file by file with what umoci unpacks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_registry import need
from kernel.miniature import isolated
from kernel.trees import tree_of
from tar_layers import Member, folder, layer, link, member, symlink

from spank_container.images.pull import pull
from spank_container.images.registry import Registry
from spank_container.images.store import Store
from spank_container.run import FIXED_ENVIRONMENT
from spank_container.values.image_ref import RegistryRef

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kernel

XATTRS = {"SCHILY.xattr.user.note": "caf\u00e9", "SCHILY.xattr.security.capability": "\1\0\0\2" + "\0" * 16}
LONG = "/".join(["d" * 100] * 3)
# umoci follows the same rules; only what a layer implies over a link of a layer below differs, and is not in here.
CORPUS: list[list[Member]] = [
    [
        folder("./", 0o755),
        folder("etc"),
        member("etc/passwd", b"root:x:0:0::/:\n"),
        member("etc/gone", b"1"),
        folder("usr"),
        folder("usr/bin", mtime=1_500_000_000),
        member("usr/bin/su", b"#!", mode=0o4755, uid=0, gid=7, mtime=1_600_000_000),
        link("usr/bin/other", "usr/bin/su"),
        member("usr/bin/su2", b"##", mode=0o2711),
        symlink("bin", "usr/bin"),
        folder("deep"),
        folder("deep/er"),
        member("deep/er/old", b"old"),
        folder("swap"),
        member("swap/file", b"x"),
        member("flip", b"a file"),
        member("\udcff\udcfe-latin", b"bytes"),
        *(folder("/".join(["d" * 100] * depth)) for depth in (1, 2, 3)),
        member(f"{LONG}/{'f' * 200}", b"long"),
        member("noted", b"n", pax_headers=XATTRS),
        folder("tmp", 0o1777),
        member("owned", b"o", uid=70_000, gid=3_000_000, mode=0o640),
        member("pipe", type=tarfile.FIFOTYPE, mode=0o600),
        member("zeros", bytes(700_000)),
        member("empty"),
    ],
    [
        member("etc/.wh.gone"),
        member("etc/group", b"root:x:0:\n"),
        folder("deep"),
        folder("deep/er", 0o711),
        member("deep/er/.wh..wh..opq"),
        member("deep/er/new", b"new"),
        member("swap", b"now a file"),
        folder("flip"),
        member("flip/inside", b"in a folder"),
        member(".wh.empty"),
    ],
    [
        member("usr/bin/.wh.su"),
        member("etc/gone", b"again", mode=0o600),
        folder("usr"),
        folder("usr/bin", 0o750),
        symlink("usr/bin/link", "../../etc/gone"),
        member("flip/.wh.inside"),
    ],
]


def run(*argv: str | Path, home: Path | None = None) -> None:
    environment = dict(FIXED_ENVIRONMENT) | ({"HOME": str(home)} if home else {})
    subprocess.run(argv, check=True, env=environment, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with the corpus as one image, `layout`, and what umoci unpacks of it, `bundle/rootfs`."""
    need("umoci", "skopeo", "docker-registry")
    path = tmp_path_factory.mktemp("corpus")
    image = f"{path}/layout:1.0"
    run("umoci", "init", "--layout", path / "layout")
    run("umoci", "new", "--image", image)
    for members in CORPUS:
        (path / "layer.tar").write_bytes(layer(*members))
        run("umoci", "raw", "add-layer", "--image", image, path / "layer.tar")
    run("umoci", "config", "--image", image, "--config.env", "A=b", "--config.cmd", "/usr/bin/su")
    run("umoci", "unpack", "--image", image, path / "bundle")
    return path


@pytest.fixture(scope="module")
def registry(made: Path) -> Iterator[tuple[Registry, str]]:
    """Debian's docker-registry with the image in it: how to ask it, and where it is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    home = made / "home"
    (home / ".config/containers").mkdir(parents=True)
    (home / ".config/containers/registries.conf").write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    configuration = made / "registry.yml"
    configuration.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {made}/registry}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with subprocess.Popen(
        ["docker-registry", "serve", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_for(address)
            run("skopeo", "copy", "--quiet", f"oci:{made}/layout:1.0", f"docker://{address}/team/app:1.0", home=home)
            yield Registry("amd64", dict(FIXED_ENVIRONMENT) | {"HOME": str(home)}), address
        finally:
            server.terminate()


def wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(200):
        with socket.socket() as connection:
            if connection.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    pytest.fail("docker-registry does not start")


@isolated
def test_the_mounted_image_is_what_umoci_unpacks(made: Path, registry: tuple[Registry, str], tmp_path: Path) -> None:
    how, address = registry
    store = Store(tmp_path / "store")
    meta = pull(RegistryRef(address, "team/app", "1.0"), store, registry=how)
    assert (meta.environment, meta.cmd) == (("A=b",), ("/usr/bin/su",))
    assert (meta.passwd, meta.group) == ("root:x:0:0::/:\n", "root:x:0:\n")
    (tmp_path / "image").mkdir()
    subprocess.run(["mount", "-o", "loop,ro", store.squashfs(meta.digest), tmp_path / "image"], check=True)
    ours = tree_of(tmp_path / "image")
    theirs = tree_of(made / "bundle/rootfs")
    assert ours.keys() == theirs.keys()
    for path, seen in ours.items():
        assert seen == theirs[path], path
    assert not [path for path in ours if os.lstat(tmp_path / "image" / path).st_mode & 0o6000]
    assert os.listxattr(tmp_path / "image/noted") == ["user.note"]


def test_an_ordinary_user_can_pull(made: Path, registry: tuple[Registry, str], tmp_path: Path) -> None:
    """No step of the conversion needs root."""
    script = f"""
from pathlib import Path
from spank_container.images.pull import pull
from spank_container.images.registry import Registry
from spank_container.images.store import Store
from spank_container.values.image_ref import RegistryRef
registry = Registry("amd64", {dict(registry[0].environment)!r})
print(pull(RegistryRef({registry[1]!r}, "team/app", "1.0"), Store(Path({str(tmp_path)!r})), registry=registry).digest)
"""
    os.chown(tmp_path, 65534, 65534)
    for folder_ in (made, *tmp_path.parents, *made.parents):
        if folder_.is_relative_to("/tmp") and folder_ != Path("/tmp"):
            folder_.chmod(0o755)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    done = subprocess.run([*command, sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sha256:")
