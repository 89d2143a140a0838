"""Our reader of tar headers against Python's, on archives that Python and GNU tar write in every form."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from tar_layers import Member, layer

from spank_container.images.layers import LayerStream
from spank_container.images.tar_reader import Header, read_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
_PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
NAMES = st.lists(_PARTS | st.just("\udcff\udcfe") | st.just("d" * 99), min_size=1, max_size=6).map("/".join)
IDS = st.integers(0, 2**32 - 2) | st.integers(0, 9)


@st.composite
def members(draw: st.DrawFn) -> Member:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(st.sampled_from(TYPES))
    info.mode, info.uid, info.gid = draw(st.integers(0, 0o7777)), draw(IDS), draw(IDS)
    info.mtime = draw(st.integers(0, 2**33))
    data = b""
    if info.isreg():
        data = draw(st.binary(max_size=1500))
        info.size = len(data)
    if info.issym() or info.islnk():
        info.linkname = draw(NAMES)
    if draw(st.booleans()):
        info.uname = info.gname = "root"
    return info, data


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def read(data: bytes, size: int) -> list[tuple[Header, bytes]]:
    stream = LayerStream(chunks(data, size))
    return [(header, stream.take(header.size)) for header in read_headers(stream)]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(members(), max_size=6),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3000),
)
def test_both_read_the_same(stack: list[Member], form: Literal[1, 2], size: int) -> None:
    """However the stream is cut into chunks."""
    data = layer(*stack, form=form)
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as archive:
        theirs = archive.getmembers()
    ours = read(data, size)
    assert len(ours) == len(theirs)
    for (header, content), info in zip(ours, theirs, strict=True):
        assert header.name.decode(errors="surrogateescape").rstrip("/") == info.name.rstrip("/")
        assert header.link.decode(errors="surrogateescape") == info.linkname
        assert (header.kind, header.mode, header.uid, header.gid) == (info.type, info.mode, info.uid, info.gid)
        assert (header.mtime, header.size) == (info.mtime, info.size)
        if info.isreg():
            assert header.start == info.offset_data
            assert content == data[info.offset_data : info.offset_data + info.size]
