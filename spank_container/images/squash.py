"""A tar stream into a squashfs file: the only caller of mksquashfs.

`mksquashfs - FILE -tar` and not sqfstar, which is the same program: sqfstar of squashfs-tools 4.5.1 (Debian 12)
refuses every compression level (plougher/squashfs-tools#191).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from spank_container.run import FIXED_ENVIRONMENT, writing_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spank_container.images.flatten import Flat

# 128 KiB blocks of zstd read better cold than gzip and than larger blocks. The level is a matter of time only: 3 costs
# a third of the default, 15, and makes files a few per cent larger. More memory than 256 MiB gains no time.
_OPTIONS = ["-tar", "-noappend", "-comp", "zstd", "-Xcompression-level", "3", "-b", "128K", "-mem", "256M"]
_QUIET = ["-quiet", "-no-progress", "-exit-on-error"]


@contextmanager
def squashing(path: Path, flat: Flat) -> Iterator[IO[bytes]]:
    """Write the tar stream of `flat` here; after the body the file is complete.

    The same layers give the same file, to the byte. With -tar, mksquashfs 4.5.1 ignores -root-time and -root-uid and
    lets the root be of now, unless SOURCE_DATE_EPOCH is earlier; that no member is later keeps their times as they are.
    """
    environment = dict(FIXED_ENVIRONMENT) | {"SOURCE_DATE_EPOCH": str(flat.newest)}
    with writing_to(
        ["mksquashfs", "-", str(path), *_OPTIONS, *_QUIET, "-root-mode", f"{flat.root.mode:o}"], environment
    ) as sink:
        yield sink
