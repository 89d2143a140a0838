"""shifterimg as scripts know it: what is printed, and with which status it ends. Pulls: tests/cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from spank_container import shifterimg
from spank_container.images.store import Store
from spank_container.site_config import ImagesConfig, SiteConfig
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest, ImportedRef, RegistryRef

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = Digest(f"sha256:{'0123456789ab' + 'c' * 52}")


def fill(path: Path) -> ImageMeta:
    path.write_bytes(b"squashfs")
    return ImageMeta(DIGEST, "amd64", 8)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store(tmp_path / "store")
    found.add(DIGEST, fill)
    found.tag(RegistryRef("docker.io", "library/busybox", "latest"), DIGEST)
    found.tag(ImportedRef("mine", "1"), DIGEST)
    monkeypatch.setattr(shifterimg, "load_config", lambda: SiteConfig(images=ImagesConfig(store=str(found.root))))
    return found


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        shifterimg.main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_images_are_listed_by_tag(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("images") == 0
    lines = capsys.readouterr().out.splitlines()
    row = r"cluster +(docker|custom) +READY +0123456789 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d "
    assert [re.sub(row, r"\1 ", line) for line in lines] == ["docker docker.io/library/busybox:latest", "custom mine:1"]


def test_lookup_prints_an_id_that_image_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("lookup", "docker:busybox") == 0
    assert capsys.readouterr().out == f"{DIGEST}\n"
    assert status("lookup", f"id:{DIGEST}") == 0


def test_a_lookup_in_vain_says_nothing_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("lookup", "docker:absent") == 1
    assert capsys.readouterr() == ("", "")
    assert status("-v", "lookup", "docker:absent") == 1
    assert capsys.readouterr().err == (
        "shifterimg: the image docker:docker.io/library/absent:latest is not in the store\n"
        "hint: spank-container pull docker:docker.io/library/absent:latest\n"
    )


def test_a_pull_that_fails_says_why_and_has_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("pull", "docker:localhost:1/absent:1") == 1
    said = capsys.readouterr()
    assert said.out.endswith("Pulling Image: docker:localhost:1/absent:1, status: FAILURE\n")
    assert said.err.startswith("shifterimg: cannot pull docker:localhost:1/absent:1: ")


def test_expire_removes(store: Store) -> None:
    assert status("expire", "docker:busybox") == 0
    assert store.list() == ()
    assert status("expire", "docker:busybox") == 1


def test_autoexpire_needs_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("autoexpire") == 1
    assert "only an image gateway can know when an image was used last" in capsys.readouterr().err


def test_a_mode_that_is_not_one_is_told() -> None:
    assert status("frobnicate") == 2
