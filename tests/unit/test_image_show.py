"""What `spank-container image show` says of an image, and that nothing in the image can speak to the terminal."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import pytest

from spank_container.commands import image_show
from spank_container.gateway.answers import Image
from spank_container.images.store import Store
from spank_container.site_config import GatewayConfig, ImagesConfig, SiteConfig
from spank_container.values.image_meta import Findings, ImageMeta, Libc, MpiLibrary
from spank_container.values.image_ref import Digest, RegistryRef

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_mock import MockerFixture

DIGEST = Digest("sha256:" + "a" * 64)
META = ImageMeta(
    DIGEST,
    "amd64",
    0,
    environment=("PATH=/bin", "ODD=\x1b[2J\udcff"),
    entrypoint=("/bin/sh", "-c"),
    cmd=("echo a b",),
    workdir="/work",
    labels=(("a", "b"),),
    passwd="root:x:0:0::/:\n",  # noqa: S106  a file, not a password
    volumes=("/data", "/more"),
    findings=Findings(Libc("glibc", "2.41"), (MpiLibrary("/lib/libmpi.so.40.1", "libmpi.so.40"),), ("/bin/sh",)),
)


@pytest.fixture
def config(tmp_path: Path, mocker: MockerFixture) -> SiteConfig:
    """A site without a gateway, whose store has one image."""
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store")

    def convert(path: Path) -> ImageMeta:
        path.write_bytes(bytes(3 << 20))
        return META

    store.add(DIGEST, convert)
    store.tag(RegistryRef("docker.io", "library/debian", "trixie"), DIGEST)
    config = SiteConfig(images=ImagesConfig(store=str(store.root)), gateway=GatewayConfig())
    mocker.patch.object(image_show, "load_config", return_value=config)
    return config


def shown(capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> str:
    image_show.show(argparse.Namespace(image="debian:trixie", json=as_json))
    return capsys.readouterr().out


@pytest.mark.usefixtures("config")
def test_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    assert [line for line in lines if not line.startswith("pulled")] == [
        "names         docker:docker.io/library/debian:trixie",
        f"id            {DIGEST}",
        "architecture  amd64",
        "size          3M",
        "whose         everybody's",
        "entrypoint    /bin/sh -c",
        "command       'echo a b'",
        "folder        /work",
        "environment   PATH=/bin",
        "              ODD=\\x1b[2J\\udcff",
        "volumes       /data",
        "              /more",
        "labels        a=b",
        "C library     glibc 2.41",
        "MPI           /lib/libmpi.so.40.1 (libmpi.so.40)",
        "interpreters  /bin/sh",
    ]


@pytest.mark.usefixtures("config")
def test_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, as_json=True))
    assert found["findings"]["mpi"] == [{"path": "/lib/libmpi.so.40.1", "soname": "libmpi.so.40"}]
    assert (found["size"], found["volumes"], found["private"]) == (3 << 20, ["/data", "/more"], False)
    assert not {"passwd", "group", "access"} & found.keys()


def test_a_private_image_without_its_description() -> None:
    image = Image(DIGEST, (), "amd64", 5, 0, private=True, owner=7, users=(8,))
    lines = dict(image_show.rows(image, None))
    assert lines["whose"] == "private: of user 7, users [8], groups []"
    assert "C library" not in lines
