"""A tar stream into a squashfs file: the only caller of mksquashfs.

`mksquashfs - FILE -tar` and not sqfstar, which is the same program: sqfstar of squashfs-tools 4.5.1 (Debian 12)
refuses every compression level (plougher/squashfs-tools#191).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from spank_container.images.durable import sync
from spank_container.run import writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spank_container.images.members import Member
    from spank_container.values.image_format import ImageFormat

_OPTIONS = ["-tar", "-noappend", "-comp", "zstd", "-mem", "256M", "-quiet", "-no-progress", "-exit-on-error"]
_SYNC_SECONDS = 1


@contextmanager
def squashing(path: Path, root: Member, wanted: ImageFormat) -> Iterator[int]:
    """The descriptor to write a tar stream to; after the body the file is complete.

    mksquashfs takes the attributes of the root, which it does not take from the stream, as options. With -tar, that of
    squashfs-tools 4.5.1 knows the mode only: the root is of now, and of whoever converts.
    """
    owner = ["-root-uid", str(root.uid), "-root-gid", str(root.gid)]
    times = ["-root-time", str(root.mtime), "-mkfs-time", str(root.mtime)]
    compressed = ["-Xcompression-level", str(wanted.compression_level), "-b", str(wanted.block_size)]
    argv = ["mksquashfs", "-", str(path), *_OPTIONS, *compressed, "-root-mode", f"{root.mode:o}", *owner, *times]
    with _on_its_way_to_disk(path), writing_to(argv) as sink:
        yield sink.fileno()


@contextmanager
def _on_its_way_to_disk(path: Path) -> Iterator[None]:
    """Let the disk work from the start: whoever syncs the whole file then waits for its last second only."""
    done = Event()

    def sync_often() -> None:
        while not done.wait(_SYNC_SECONDS):
            with suppress(FileNotFoundError):
                sync(path)

    thread = Thread(target=sync_often, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
