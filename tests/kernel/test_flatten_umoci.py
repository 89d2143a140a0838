"""Made images against umoci: for each, the mounted squashfs is what `umoci unpack` makes of the same layers.

Of what umoci unpacks, what we drop on purpose is left out: devices, setuid and setgid bits, attributes but user.*.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from fake_registry import need
from kernel.miniature import isolated
from kernel.trees import tree_of
from tar_layers import Member, digest_of, folder, layer, link, member, symlink

from spank_container.images.convert import convert
from spank_container.images.image_config import Configuration
from spank_container.images.layers import Blob

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.kernel

OCI = "application/vnd.oci.image"
DEEP = "/".join(["d" * 100] * 5)
LONG = "f" * 255
BYTES = "\udcff\udcfe-latin"
GNU: Final = tarfile.GNU_FORMAT


def parents(path: str) -> list[Member]:
    parts = path.split("/")
    return [folder("/".join(parts[:depth])) for depth in range(1, len(parts) + 1)]


def xattrs(**values: str) -> dict[str, Any]:
    return {"pax_headers": {f"SCHILY.xattr.{name.replace('_', '.', 1)}": value for name, value in values.items()}}


def sparse(*options: str) -> bytes:
    """What GNU tar makes of a file with holes at its start, in it and at its end, and of one that is all hole."""
    with tempfile.TemporaryDirectory() as place:
        with open(f"{place}/holes", "wb") as file:
            for number in range(1, 30):  # more extents than fit into one header
                file.seek(number * 100_000)
                file.write(b"data %d" % number)
            file.truncate(4_000_000)
        with open(f"{place}/nothing", "wb") as file:
            file.truncate(1_000_000)
        Path(f"{place}/zz").write_bytes(b"after")
        command = [
            "tar",
            "--sparse",
            "--sort=name",
            "--numeric-owner",
            "--format=posix",
            *options,
            "-C",
            place,
            "-c",
            ".",
        ]
        return subprocess.run(command, check=True, capture_output=True).stdout


CORPUS: dict[str, list[bytes]] = {
    "whiteouts": [
        layer(folder("a"), member("a/x"), folder("a/d"), member("a/d/y"), member("b"), member("keep")),
        layer(folder("a", mtime=5), member("a/.wh.x"), member("a/.wh.d"), member(".wh.b"), member(".wh.never")),
    ],
    "a whiteout after what it must not hide": [
        layer(member("f", b"old"), folder("d"), member("d/old")),
        layer(member("f", b"new"), folder("d"), member("d/new"), member("d/.wh.old"), member(".wh.gone")),
    ],
    "opaque directories": [
        layer(
            folder("d", 0o700), member("d/x"), folder("d/e"), member("d/e/y"), member("z"), folder("o"), member("o/1")
        ),
        layer(folder("d", 0o711), member("d/.wh..wh..opq"), member("d/new"), folder("o"), member("o/.wh..wh..opq")),
        layer(folder("o"), member("o/2")),
    ],
    "deleted and made again": [
        layer(folder("d", 0o700), member("d/x", b"1"), member("f", b"1"), symlink("s", "f")),
        layer(member(".wh.d"), member(".wh.f"), member(".wh.s")),
        layer(folder("d", 0o711), member("d/y", b"2"), folder("f"), member("f/in"), member("s", b"3")),
    ],
    "one kind for another": [
        layer(folder("a"), member("a/x"), member("b"), symlink("c", "a"), member("e", type=tarfile.FIFOTYPE)),
        layer(member("a", b"file"), folder("b"), member("b/y"), member("c", b"c"), symlink("e", "b")),
        layer(symlink("a", "b"), member("b", b"again"), member("c", type=tarfile.FIFOTYPE), folder("e")),
    ],
    "hard links": [
        layer(member("a", b"1" * 9000), link("b", "a"), link("./c", "/b"), folder("d"), link("d/e", "./a")),
        layer(member("x", b"2"), link("y", "x")),
        layer(member(".wh.x"), folder("d"), member("d/.wh.e")),
    ],
    "hard links across layers": [
        layer(member("a", b"1", mode=0o600), member("b", b"2")),
        layer(link("c", "a"), link("e", "b")),
        layer(member(".wh.a"), member("b", b"3")),
    ],
    "hard links to what is no file": [
        layer(symlink("s", "nowhere"), link("t", "s"), member("p", type=tarfile.FIFOTYPE), link("q", "p")),
    ],
    "long names": [
        layer(
            *parents(DEEP),
            member(f"{DEEP}/{LONG}", b"long"),
            symlink("s", f"{DEEP}/{LONG}"),
            link("l", f"{DEEP}/{LONG}"),
        ),
    ],
    "long names of GNU": [
        layer(*parents(DEEP), member(f"{DEEP}/{LONG}", b"long"), symlink("s", f"{DEEP}/{LONG}"), form=GNU),
        layer(link("l", f"{DEEP}/{LONG}"), member(f"{'p' * 60}-{'q' * 90}"), form=GNU),
    ],
    "names that are no UTF-8": [
        layer(member(BYTES, b"1"), folder(f"{BYTES}d"), symlink("s", BYTES), form=GNU),
        layer(member(".wh." + BYTES), member(f"{BYTES}d/\u00e9\n\\ x"), folder(f"{BYTES}d"), form=GNU),
    ],
    "names with more than names": [
        layer(folder("./", 0o711), member("./a"), folder("b/"), member("b//c"), member("/d"), member("./b/./e", b"e")),
        layer(member("././b/.wh.c"), folder("/b", 0o700)),
    ],
    "duplicates": [
        layer(member("f", b"1"), member("f", b"22"), folder("d", 0o700), member("d/x"), folder("d", 0o711)),
        layer(symlink("s", "a"), symlink("s", "b"), member("t", b"t"), symlink("t", "f")),
    ],
    "owners, modes and times": [
        layer(
            *(member(f"m{mode:o}", mode=mode) for mode in (0, 0o400, 0o777, 0o1644, 0o2711, 0o4755, 0o6755)),
            folder("sticky", 0o1777),
            folder("group", 0o2775),
            member("big", uid=3_000_000, gid=2**31, mtime=2**31 + 5),
            member("part", mtime=1_600_000_000.75, pax_headers={"atime": "1.5"}),
            member("zero", mtime=0),
        ),
        layer(member("base256", uid=2**24, gid=2**24, mtime=2**31 - 1), form=GNU),
    ],
    "attributes": [
        layer(
            member("f", b"1", **xattrs(user_a="caf\u00e9", security_capability="\1\0\0\2" + "\0" * 16)),
            folder("d", **xattrs(user_b="\udcff\n=x", trusted_x="1")),
        ),
        layer(member("f", b"2", **xattrs(user_c="3"))),
    ],
    "devices and pipes": [
        layer(folder("dev"), member("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), member("dev/x")),
        layer(member("dev/x", type=tarfile.BLKTYPE, devmajor=7), member("p", type=tarfile.FIFOTYPE, mode=0o622)),
    ],
    "links that lead out": [
        layer(
            symlink("abs", "/etc/passwd"),
            symlink("up", "../../../etc"),
            symlink("self", "self"),
            symlink("e", "x" * 4000),
        ),
    ],
    # umoci knows no sparse files of GNU's old form; the unit tests do.
    "sparse files, pax 0.0": [sparse("--sparse-version=0.0")],
    "sparse files, pax 0.1": [sparse("--sparse-version=0.1")],
    "sparse files, pax 1.0": [sparse("--sparse-version=1.0")],
    "sizes": [
        layer(
            *(
                member(f"f{size}", bytes(range(251)) * (size // 251) + b"x" * (size % 251))
                for size in (0, 1, 511, 512, 513, 131_071, 131_072, 131_073, 300_000, 2_000_000)
            )
        )
    ],
    "layers with nothing": [layer(), layer(member("a", b"1")), layer(), layer(member(".wh.b"))],
}


def write_layout(path: Path, layers: Sequence[bytes]) -> Configuration:
    """An OCI layout for umoci, with gzip layers."""
    blobs = path / "layout/blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = digest_of(data)
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": f"{OCI}.{media_type}", "digest": digest, "size": len(data)}

    rootfs = {"type": "layers", "diff_ids": [digest_of(data) for data in layers]}
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": [put(gzip.compress(data, 1, mtime=0), "layer.v1.tar+gzip") for data in layers],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (path / "layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (path / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return Configuration.model_validate(config)


def packed(number: int, data: bytes) -> bytes:
    """Each layer in another way."""
    return (gzip.compress, zstd.compress, bytes)[number % 3](data)


def our_tree(path: Path, layers: Sequence[bytes], configuration: Configuration) -> dict[str, tuple[Any, ...]]:
    blobs = []
    for number, data in enumerate(layers):
        blob = packed(number, data)
        (path / f"blob{number}").write_bytes(blob)
        blobs.append(Blob(digest_of(blob), digest_of(data), len(blob), path / f"blob{number}"))
    convert(digest_of(b""), blobs, configuration, path / "squashfs")
    (path / "image").mkdir()
    subprocess.run(["mount", "-o", "loop,ro", path / "squashfs", path / "image"], check=True)
    return tree_of(path / "image")


@pytest.mark.parametrize("case", CORPUS)
@isolated
def test_the_tree_is_what_umoci_unpacks(case: str, tmp_path: Path) -> None:
    need("umoci")
    layers = CORPUS[case]
    configuration = write_layout(tmp_path, layers)
    os.umask(0o022)
    command = ["umoci", "unpack", "--image", f"{tmp_path}/layout:1", f"{tmp_path}/bundle"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    root = tmp_path / "bundle/rootfs"
    ours, theirs = our_tree(tmp_path, layers, configuration), tree_of(root)
    for name in list(theirs):
        mode = os.lstat(root / name).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            del theirs[name]
    assert ours.keys() == theirs.keys()
    for name, seen in ours.items():
        assert seen == theirs[name], name
    assert not [name for name in ours if os.lstat(tmp_path / "image" / name).st_mode & 0o6000]
