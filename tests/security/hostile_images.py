"""Images that try what images have tried on other container software: the layers, and which row each is for.

All but a few have busybox in the layer below, so that a job can look around in them.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fake_registry import OCI, FakeRegistry
from tar_layers import folder, layer, link, member, symlink

from sandbox.images import TRIXIE
from sandbox.roots import minbase, slurm_root

if TYPE_CHECKING:
    from fake_registry import Document
    from tar_layers import Member

APPLETS = (
    "sh",
    "cat",
    "cut",
    "echo",
    "env",
    "grep",
    "head",
    "id",
    "ls",
    "mount",
    "pwd",
    "readlink",
    "sleep",
    "stat",
    "touch",
    "timeout",
)
PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"
RIGHTS = r"""
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    printf("%d %d %d %d\n", (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
    return 0;
}
"""
CAPABILITIES = "\x01\x00\x00\x02" + "\xff" * 4 + "\x00" * 4 + "\xff" * 4 + "\x00" * 4


def busybox() -> bytes:
    """The lowest layer: a shell, and nothing hostile."""
    binary = (slurm_root(TRIXIE) / "usr/bin/busybox").read_bytes()
    return layer(
        *(folder(name) for name in ("bin", "etc", "var", "mnt", "opt")),
        folder("tmp", mode=0o1777),
        member("bin/busybox", binary, mode=0o755),
        *(symlink(f"bin/{name}", "busybox") for name in APPLETS),
        member("etc/passwd", PASSWD),
        member("etc/group", b"root:x:0:\n"),
    )


@functools.cache
def rights() -> Path:
    """A static program that says with which ids it runs."""
    folder = Path(tempfile.mkdtemp(prefix="spank-container-rights."))
    atexit.register(shutil.rmtree, folder)
    (folder / "rights.c").write_text(RIGHTS)
    subprocess.run(["gcc", "-static", "-o", folder / "rights", folder / "rights.c"], check=True)
    return folder / "rights"


def setuid() -> Member:
    info, data = member("bin/rights", rights().read_bytes(), mode=0o6755)
    info.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITIES}
    return info, data


def dynamic_shell() -> list[Member]:
    """dash with its loader and libc: busybox is static, and has nothing preloaded."""
    root = minbase(TRIXIE.suite)
    files = [root / "usr/bin/dash", *root.glob("usr/lib/*/libc.so.6"), *root.glob("usr/lib64/ld-linux*")]
    return [member(str(file.relative_to(root / "usr")), file.read_bytes(), mode=0o755) for file in files]


# Of an image that can be pulled: its second layer, and what its configuration says.
RUNNABLE: dict[str, tuple[tuple[Member, ...], Document]] = {
    "row11": ((symlink("bin/runtime", "/proc/self/exe"),), {"Entrypoint": ["/proc/self/exe"]}),
    "row12": ((folder("evil"), member("evil/status", b"Name: evil\n"), symlink("proc", "/evil"), symlink("sys", "evil")), {}),
    "row16": ((), {"WorkingDir": "/proc/self/fd/7"}),
    "row18": ((folder("evil"), member("evil/null", b"evil"), symlink("dev", "evil")), {}),
    "row18b": ((folder("dev"), symlink("dev/null", "/proc/sysrq-trigger"), symlink("dev/shm", "/etc"), symlink("dev/pts", "/proc")), {}),
    "row34": ((symlink("opt", "../../../../../../etc"),), {}),
    "row34b": ((folder("evil"), symlink("opt/spank-container", "/evil"), symlink("opt/udiImage", "/proc/1/root")), {}),
    "row38": ((member("etc/passwd", type=tarfile.FIFOTYPE), symlink("etc/group", "/dev/zero"), member("etc/nsswitch.conf", type=tarfile.CHRTYPE, devmajor=1, devminor=5)), {}),
    "row39": (
        (
            symlink("direct", "/etc"),
            symlink("above", "../../../../../../../proc"),
            symlink("chain", "/link/dev"),
            symlink("link", "/"),
            symlink("magic", "/proc/1/root/tmp"),
            symlink("loop", "/loop"),
            symlink("fine", "/var"),
        ),
        {},
    ),
    "row41": (
        (
            folder("dev"),
            member("dev/evil", type=tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o666),
            member("evil", type=tarfile.BLKTYPE, devmajor=7, devminor=0, mode=0o666),
        ),
        {},
    ),
}  # fmt: skip
# Of an image that must be refused: its second layer and what `pull` says of it.
REFUSED_LAYERS: dict[str, tuple[tuple[Member, ...], str]] = {
    "row22a": (
        (member("../../../../etc/evil", b"evil"),),
        "member '../../../../etc/evil': '..' leads out of its folder",
    ),
    "row22b": ((link("evil", "../../etc/shadow"),), "member '../../etc/shadow': '..' leads out of its folder"),
    "row22c": (
        (symlink("shared", "/shared"), member("shared/evil", b"evil")),
        "member 'shared/evil': in the same layer, 'shared' is no directory",
    ),
    "row25a": ((symlink(".", "/shared"), member("evil", b"evil")), "member '.': only a directory can be the root"),
    "row25b": ((symlink("/", "/shared"), member("/evil", b"evil")), "member '/': only a directory can be the root"),
}
PULLED_LATER = ("row23", "row24", "row24b", "private26")


def put_all(home: Path) -> dict[str, FakeRegistry]:
    """What the registry serves, by repository."""
    base = busybox()
    images: dict[str, FakeRegistry] = {}

    def image(name: str) -> FakeRegistry:
        return images.setdefault(name, FakeRegistry(home))

    for name, (members, config) in RUNNABLE.items():
        image(name).put_image(base, layer(*members), config={"config": {"Env": ["PATH=/bin"], **config}})
    for name, (members, _) in REFUSED_LAYERS.items():
        image(name).put_image(base, layer(*members))
    preload = {"Env": ["PATH=/bin", "LD_PRELOAD=/proc/self/cwd/poc.so"]}
    image("row35").put_image(base, layer(*dynamic_shell()), config={"config": preload})
    image("row42").put_image(base, layer(setuid()))
    for name in PULLED_LATER:
        image(name).put_image(base, *([] if name == "row24b" else [layer(member(f"of-{name}"))]))
    _put_documents(image("row27"), image("row28"), image("row29"))
    return images


def _put_documents(both: FakeRegistry, weak: FakeRegistry, path: FakeRegistry) -> None:
    manifest = both.put_image(layer(member("evil")), tag="")
    both.put_image(layer(member("evil")), manifests=[manifest])
    blob = {"mediaType": f"{OCI}.layer.v1.tar", "size": 1024}
    weak.put_image(layer(), layers=[{**blob, "digest": f"md5:{'0' * 32}"}])
    path.put_image(layer(), layers=[{**blob, "digest": "sha256:../../../../../../etc/shadow"}])
