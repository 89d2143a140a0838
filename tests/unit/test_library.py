"""The images as commands see them where there is no gateway; with one: tests/gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spank_container.errors import UserError
from spank_container.gateway.answers import Pull
from spank_container.images.store import Store
from spank_container.library import Audience, open_library, pullable, showing
from spank_container.site_config import ImagesConfig, SiteConfig
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest, RegistryRef

if TYPE_CHECKING:
    from pathlib import Path

    from spank_container.library import Library

DIGEST = Digest(f"sha256:{'a' * 64}")
BUSYBOX = RegistryRef("docker.io", "library/busybox", "latest")


def fill(path: Path) -> ImageMeta:
    path.write_bytes(b"squashfs")
    return ImageMeta(DIGEST, "amd64", 8)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    store = Store(tmp_path / "store")
    store.add(DIGEST, fill)
    store.tag(BUSYBOX, DIGEST)
    return open_library(SiteConfig(images=ImagesConfig(store=str(store.root))), {})


def refusal(error: UserError) -> str:
    return error.report()


def test_the_store_s_images_are_everybody_s(library: Library) -> None:
    (image,) = library.images()
    assert (image.digest, image.names, image.size, image.private) == (
        DIGEST,
        ("docker:docker.io/library/busybox:latest",),
        8,
        False,
    )
    assert library.lookup("busybox") == library.lookup(f"id:{DIGEST}") == image


def test_a_removed_image_is_gone_for_new_jobs(library: Library) -> None:
    assert library.remove("busybox").digest == DIGEST
    assert library.images() == ()
    with pytest.raises(UserError) as caught:
        library.lookup("busybox")
    assert refusal(caught.value) == (
        "the image docker:docker.io/library/busybox:latest is not in the store\n"
        "hint: spank-container pull docker:docker.io/library/busybox:latest"
    )


def test_what_only_a_gateway_can_is_refused(library: Library) -> None:
    only = "only an image gateway can let users and groups into images, and this cluster has none"
    with pytest.raises(UserError) as caught:
        library.pull(BUSYBOX, Audience(users=["bob"]))
    assert refusal(caught.value) == f"{only}\nhint: leave out --user and --group"
    with pytest.raises(UserError) as caught:
        library.share("busybox", Audience(users=["bob"]))
    assert refusal(caught.value) == f"{only}\nhint: every image is everybody's here"
    with pytest.raises(UserError) as caught:
        library.expire()
    assert refusal(caught.value) == (
        "only an image gateway can know when an image was used last, and this cluster has none\n"
        "hint: spank-container image rm removes one"
    )


def test_only_a_registry_can_be_pulled_from() -> None:
    assert pullable("busybox") == BUSYBOX
    for text in (f"id:{DIGEST}", "custom:a:1"):
        with pytest.raises(UserError) as caught:
            pullable(text)
        assert refusal(caught.value) == f"{text} names no registry to pull from\nhint: write docker:NAME:TAG"


def test_a_store_that_is_not_there_is_empty_for_nobody(tmp_path: Path) -> None:
    config = replace(SiteConfig(), images=ImagesConfig(store=str(tmp_path / "absent")))
    assert open_library(config, {}).images() == ()


@pytest.mark.parametrize(
    ("pull", "shown"),
    [
        (Pull(1, "docker:x", "pending", 1), ("pending", 0, 0)),
        (
            Pull(1, "docker:x", "pulling", 2, stage="downloading", done=3, total=9, layers=6),
            ("downloading 6 layers", 3, 9),
        ),
        (
            Pull(1, "docker:x", "pulling", 2, stage="downloading", done=3, total=9, layers=1),
            ("downloading 1 layer", 3, 9),
        ),
        (Pull(1, "docker:x", "converting", 3, stage="converting", done=5, total=7, layers=6), ("converting", 5, 7)),
    ],
)
def test_what_is_shown_of_a_gateway_s_pull(pull: Pull, shown: tuple[str, int, int]) -> None:
    seen: list[tuple[str, int, int]] = []
    show = showing(lambda *report: seen.append(report))
    assert show is not None
    show(pull)
    assert seen == [shown]


def test_nobody_looks() -> None:
    assert showing(None) is None
