"""A tar stream into a squashfs file: the only caller of mksquashfs.

`mksquashfs - FILE -tar` and not sqfstar, which is the same program: sqfstar of squashfs-tools 4.5.1 (Debian 12)
refuses every compression level (plougher/squashfs-tools#191).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from spank_container.run import writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spank_container.images.members import Member

# 128 KiB blocks of zstd read better cold than gzip and than larger blocks. The level is a matter of time only: 3 costs
# a third of the default, 15, and makes files a few per cent larger. More memory than 256 MiB gains no time.
_OPTIONS = ["-tar", "-noappend", "-comp", "zstd", "-Xcompression-level", "3", "-b", "128K", "-mem", "256M"]
# The same layers give the same file, to the byte, wherever and whenever.
_REPRODUCIBLE = ["-reproducible", "-mkfs-time", "0"]
_QUIET = ["-quiet", "-no-progress", "-exit-on-error"]


@contextmanager
def squashing(path: Path, root: Member) -> Iterator[IO[bytes]]:
    """Write the tar stream here; after the body the file is complete.

    The root's owner is left 0: mksquashfs 4.5.1 ignores -root-uid with -tar.
    """
    options = ["-root-mode", f"{root.mode:o}", "-root-time", str(root.mtime)]
    with writing_to(["mksquashfs", "-", str(path), *_OPTIONS, *_REPRODUCIBLE, *_QUIET, *options]) as sink:
        yield sink
