"""A node's copies of images: made once, the least used go, and whatever goes wrong the store's file serves."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from spank_container.executor import image_copies
from spank_container.executor.image_copies import ImageCopies

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 100_000


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageCopies:
    monkeypatch.setattr(image_copies, "log", (tmp_path / "log").write_text)
    return ImageCopies(tmp_path / "cache", 2 * SIZE)


def original(tmp_path: Path, name: str, size: int = SIZE) -> int:
    file = tmp_path / name
    file.write_bytes(name.encode() * (size // len(name)))
    return os.open(file, os.O_RDONLY)


def use(copies: ImageCopies, tmp_path: Path, name: str, size: int = SIZE) -> str:
    """Where the bytes come from that a mount would see."""
    descriptor = copies.opened(name, original(tmp_path, name, size))
    try:
        assert os.pread(descriptor, 10 * len(name), 0) == name.encode() * 10
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def names(copies: ImageCopies) -> list[str]:
    return [copy.digest for copy in copies.list()]


def test_a_copy_serves_and_is_root_s_alone(copies: ImageCopies, tmp_path: Path) -> None:
    assert use(copies, tmp_path, "a") == f"{copies.folder}/a.squashfs"
    assert copies.folder.stat().st_mode & 0o777 == 0o700
    assert (copies.folder / "a.squashfs").read_bytes() == b"a" * SIZE
    assert [path.name for path in copies.folder.iterdir()] == ["a.squashfs"]


def test_it_is_copied_once(copies: ImageCopies, tmp_path: Path) -> None:
    use(copies, tmp_path, "a")
    made = (copies.folder / "a.squashfs").stat().st_ino
    use(copies, tmp_path, "a")
    assert (copies.folder / "a.squashfs").stat().st_ino == made


def test_the_one_that_was_not_used_for_longest_goes(copies: ImageCopies, tmp_path: Path) -> None:
    for name in "ab":
        use(copies, tmp_path, name)
    os.utime(copies.folder / "b.squashfs", (1, 1))
    use(copies, tmp_path, "a")
    use(copies, tmp_path, "c")
    assert set(names(copies)) == {"a", "c"}


def test_an_image_that_is_too_large_is_read_from_the_store(copies: ImageCopies, tmp_path: Path) -> None:
    use(copies, tmp_path, "a")
    assert use(copies, tmp_path, "b", 3 * SIZE) == f"{tmp_path}/b"
    assert names(copies) == ["a"]


def test_a_copy_that_was_cut_short_is_made_again(copies: ImageCopies, tmp_path: Path) -> None:
    use(copies, tmp_path, "a")
    os.truncate(copies.folder / "a.squashfs", 10)
    (copies.folder / ".a.partial").write_text("of a copy that died")
    use(copies, tmp_path, "a")
    assert (copies.folder / "a.squashfs").stat().st_size == SIZE
    assert not (copies.folder / ".a.partial").exists()


def test_a_full_disk_is_no_obstacle(copies: ImageCopies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert use(copies, tmp_path, "a") == f"{tmp_path}/a"
    assert names(copies) == []
    assert list(copies.folder.iterdir()) == []
    assert (tmp_path / "log").read_text() == (f"no copy of the image a: No space left on device [{copies.folder}]")


@pytest.mark.parametrize(("owner", "mode"), [(2001, 0o700), (0, 0o755), (0, 0o770)])
def test_a_folder_that_is_not_root_s_alone_is_not_used(
    copies: ImageCopies, tmp_path: Path, owner: int, mode: int
) -> None:
    copies.folder.mkdir()
    os.chown(copies.folder, owner, owner)
    copies.folder.chmod(mode)
    assert use(copies, tmp_path, "a") == f"{tmp_path}/a"
    assert (tmp_path / "log").read_text() == f"no copy of the image a: Operation not permitted [{copies.folder}]"
