"""What kind of images a site wants: for which processors, and how they are compressed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """`architecture` in the words of image indexes, such as arm64; empty for that of the machine that converts.

    128 KiB blocks of zstd read better cold than gzip and than larger blocks. The level is a matter of time only: 3
    costs a third of mksquashfs's own choice, 15, and makes files a few per cent larger.
    """

    architecture: str = ""
    compression_level: int = 3
    block_size: int = 128 << 10
