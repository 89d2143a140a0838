"""A layer as the registry gave it: a blob that is what its digest says, and the tar stream inside.

Nothing is read from a blob before its digest was verified, and afterwards it is read through the same descriptor. The
inflating runs ahead in a thread of its own. Names, headers and rules are not known here.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from spank_container.errors import BusyError
from spank_container.images.inflate import BROKEN, inflated
from spank_container.images.threads import ahead, side_by_side

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from spank_container.values.image_ref import Digest

CHUNK = 256 << 10  # what is inflated is hashed and read while it is still in the processor's cache
_AHEAD = 32  # chunks


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
    """A file of the blob cache and what it must contain: `digest` is of the file, `diff_id` of the tar archive in it."""

    digest: Digest
    diff_id: Digest
    size: int
    path: Path


class LayerStream:
    """The uncompressed layer, forward only."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """How many bytes were read or skipped."""
        return self._before + self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end of the stream."""
        end = self._at + size
        if end <= len(self._chunk):
            data = self._chunk[self._at : end]
            self._at = end
            return data
        return b"".join(self.views(size))

    def views(self, size: int) -> Iterator[memoryview]:
        """The same without a copy."""
        while size > 0 and (self._at < len(self._chunk) or self._next()):
            end = min(self._at + size, len(self._chunk))
            size -= end - self._at
            view = memoryview(self._chunk)[self._at : end]
            self._at = end
            yield view

    def skip(self, size: int) -> None:
        """The next `size` bytes are not wanted, or all there are."""
        self._at += size
        while self._at > len(self._chunk):
            beyond = self._at - len(self._chunk)
            if not self._next():
                return
            self._at = beyond

    def drain(self) -> None:
        """To the end, so that the whole blob was seen to be sound."""
        while self._next():
            pass

    def _next(self) -> bool:
        """On to the next chunk; at the end of the stream, stay there."""
        self._before += len(self._chunk)
        self._chunk = next(self._chunks, b"")
        self._at = 0
        return bool(self._chunk)


class Layer:
    """An open and verified blob."""

    def __init__(self, blob: Blob, file: IO[bytes]) -> None:
        self.digest = blob.digest
        self.size = blob.size
        self._diff_id = blob.diff_id
        self._file = file
        self._file.seek(0)

    @property
    def consumed(self) -> int:
        """How much of the blob has been read, or is being read."""
        return self._file.tell()

    @contextmanager
    def stream(self, *, verified: bool = False) -> Iterator[LayerStream]:
        """The uncompressed bytes from the first on; one stream at a time, since they share the descriptor.

        LayerError when a body that reads to the end has read something else than the image's configuration says;
        `verified` says that one did before.
        """
        with ahead(self._chunks(verified=verified), _AHEAD) as chunks:
            yield LayerStream(chunks)

    def _chunks(self, *, verified: bool) -> Generator[bytes, None, None]:
        algorithm, _, wanted = self._diff_id.partition(":")
        hashed = hashlib.new(algorithm)
        try:
            source = inflated(self._file)
            with nullcontext() if source is self._file else closing(source):
                while chunk := source.read(CHUNK):
                    if not verified:
                        hashed.update(chunk)
                    yield chunk
        except GeneratorExit:
            self._file.seek(0)  # who does not read on has not read anything
            raise
        except BROKEN as error:
            raise LayerError(f"it cannot be decompressed: {error}") from error
        if not verified and hashed.hexdigest() != wanted:
            raise LayerError(f"what is in it is not {self._diff_id}, as the image's configuration says")


@contextmanager
def opened(blobs: Sequence[Blob]) -> Iterator[list[Layer]]:
    """The blobs, verified; BrokenBlobError when one is not what its digest says."""
    with ExitStack() as stack:
        files = [(blob, stack.enter_context(blob.path.open("rb", buffering=0))) for blob in blobs]
        yield list(side_by_side(lambda pair: _verified(*pair), files, effort=lambda pair: pair[0].size))


def _verified(blob: Blob, file: IO[bytes]) -> Layer:
    size = os.fstat(file.fileno()).st_size
    algorithm, _, wanted = blob.digest.partition(":")
    if size != blob.size or hashlib.file_digest(file, algorithm).hexdigest() != wanted:  # type: ignore[arg-type]
        raise BrokenBlobError(blob, size)
    return Layer(blob, file)
