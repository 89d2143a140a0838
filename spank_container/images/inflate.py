"""Blobs without their compression: which it is, and who undoes it.

The first bytes decide, as in Docker: registries and builders get the media type of the compression wrong. gzip is
inflated by ISA-L where that is installed, which takes a third of zlib's time; all of them let go of the interpreter's
lock, so that layers are inflated beside each other and beside what is made of them.
"""

from __future__ import annotations

import sys
import zlib
from gzip import BadGzipFile, GzipFile
from typing import IO, Any, cast

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError, ZstdFile
else:
    from backports.zstd import ZstdError, ZstdFile


def _fastest() -> tuple[type[GzipFile], type[Exception]]:
    """Of gzip's readers the best one there is, and what it raises; ISA-L has no wheels for some architectures."""
    try:
        from isal.igzip import IGzipFile  # noqa: PLC0415
        from isal.igzip_lib import IsalError  # noqa: PLC0415
    except ImportError:
        return GzipFile, zlib.error
    return IGzipFile, cast("type[Exception]", IsalError)


_Gzip, _IsalError = _fastest()
BROKEN = (EOFError, BadGzipFile, zlib.error, _IsalError, ZstdError)
"""What reading raises when the blob is at fault."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED = b"\x2a\x4d\x18"  # after a byte from 0x50 to 0x5f: a frame for others, which may come first


def inflated(file: IO[bytes]) -> IO[bytes]:
    """The uncompressed bytes of `file`, from its start; it stays open when they are closed."""
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        return cast("IO[bytes]", _Gzip(fileobj=cast("Any", file), mode="rb"))
    if magic == _ZSTD or (magic[1:] == _ZSTD_SKIPPED and magic[0] >> 4 == 5):
        return cast("IO[bytes]", ZstdFile(file))
    return file
