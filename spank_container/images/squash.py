"""A tar stream into a squashfs file: the only caller of mksquashfs.

`mksquashfs - FILE -tar` and not sqfstar, which is the same program: sqfstar of squashfs-tools 4.5.1 (Debian 12)
refuses every compression level (plougher/squashfs-tools#191).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.run import writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spank_container.images.members import Member

_OPTIONS = ["-tar", "-noappend", "-comp", "zstd", "-mem", "256M", "-quiet", "-no-progress", "-exit-on-error"]


@dataclass(frozen=True, slots=True)
class Compression:
    """128 KiB blocks of zstd read better cold than gzip and than larger blocks. The level is a matter of time only: 3
    costs a third of the default, 15, and makes files a few per cent larger."""

    level: int = 3
    block_size: int = 128 << 10


@contextmanager
def squashing(path: Path, root: Member, compression: Compression) -> Iterator[int]:
    """The descriptor to write a tar stream to; after the body the file is complete.

    mksquashfs takes the attributes of the root, which it does not take from the stream, as options. With -tar, that of
    squashfs-tools 4.5.1 knows the mode only: the root is of now, and of whoever converts.
    """
    owner = ["-root-uid", str(root.uid), "-root-gid", str(root.gid)]
    times = ["-root-time", str(root.mtime), "-mkfs-time", str(root.mtime)]
    compressed = ["-Xcompression-level", str(compression.level), "-b", str(compression.block_size)]
    argv = ["mksquashfs", "-", str(path), *_OPTIONS, *compressed, "-root-mode", f"{root.mode:o}", *owner, *times]
    with writing_to(argv) as sink:
        yield sink.fileno()
