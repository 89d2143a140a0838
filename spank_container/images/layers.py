"""A layer as the registry gave it: a blob that is what its digest says, and the tar stream inside.

Nothing is read from a blob before its digest was verified, and afterwards it is read through the same descriptor. The
inflating is left to gzip(1) and zstd(1), which run beside us on another core; names, headers and rules are not known
here.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from spank_container.errors import BusyError
from spank_container.run import ProgramFailedError, reading_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spank_container.values.image_ref import Digest

CHUNK = 256 << 10
_LARGEST_HEADER = 1 << 20
# The first bytes decide, as in Docker: registries and builders get the media type of the compression wrong.
_INFLATERS = {b"\x1f\x8b": ("gzip", "-dc"), b"\x28\xb5\x2f\xfd": ("zstd", "-dcq")}


class LayerError(ValueError):
    """What is wrong in a layer, in words; whoever knows which layer it is makes a UserError of it."""


class BrokenBlobError(BusyError):
    """The file at `path` is not what its digest says; when it is gone, the next pull fetches it again."""

    def __init__(self, blob: Blob, size: int) -> None:
        self.path = blob.path
        message = f"the blob cache is damaged: {blob.digest} has {size} bytes of something else [{blob.path}]"
        super().__init__(message, hint="pull the image again")


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of the blob cache and what it must contain."""

    digest: Digest
    size: int
    path: Path


class LayerStream:
    """The uncompressed layer, forward only, as much of a file as tarfile needs.

    Headers are read with `read`, at most a megabyte between two calls of `expect_header`: tarfile takes a header's
    word for its length and would read ten gigabytes of a hostile one into memory.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._position = 0
        self._header_left = 0

    def expect_header(self) -> None:
        self._header_left = _LARGEST_HEADER

    def read(self, size: int) -> bytes:
        self._header_left -= size
        if self._header_left < 0:
            raise LayerError(f"the header at byte {self._position} is longer than {_LARGEST_HEADER} bytes")
        return self._read(size)

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Skip to `position`, or to the end if that comes first."""
        if position < self._position:
            raise LayerError(f"the header at byte {self._position} points backwards")
        for _ in self.chunks(position - self._position):
            pass

    def chunks(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, fewer at the end of the stream."""
        while size > 0 and (data := self._read(min(size, CHUNK))):
            size -= len(data)
            yield data

    def drain(self) -> None:
        """To the end, so that the inflater gets to say whether the whole blob was sound."""
        while self._read(CHUNK):
            pass

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._position += len(data)
        return data


class Layer:
    """An open and verified blob."""

    def __init__(self, digest: Digest, size: int, file: IO[bytes]) -> None:
        self.digest = digest
        self.size = size
        self._file = file

    @contextmanager
    def stream(self) -> Iterator[LayerStream]:
        """The uncompressed bytes from the first on; one stream at a time, since they share the descriptor."""
        self._file.seek(0)
        magic = self._file.read(4)
        self._file.seek(0)
        argv = next((argv for start, argv in _INFLATERS.items() if magic.startswith(start)), None)
        if argv is None:
            yield LayerStream(self._file)
            return
        try:
            with reading_from(argv, self._file.fileno()) as source:
                yield LayerStream(source)
        except ProgramFailedError as error:
            raise LayerError(f"it cannot be decompressed: {error.stderr}") from error


@contextmanager
def opened(blob: Blob) -> Iterator[Layer]:
    """The blob, verified; BrokenBlobError when it is not what its digest says."""
    with blob.path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size != blob.size or not _matches(file, blob.digest):
            raise BrokenBlobError(blob, size)
        yield Layer(blob.digest, blob.size, file)


def _matches(file: IO[bytes], digest: Digest) -> bool:
    algorithm, _, wanted = digest.partition(":")
    return hashlib.file_digest(file, algorithm).hexdigest() == wanted  # type: ignore[arg-type]  # IO[bytes] is one
