"""What strangers put in an image: bytes that are no tar, headers that lie, documents of any shape."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import tarfile
import tempfile
from pathlib import Path

from attempts import attempt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import JSON, TYPED
from tar_layers import Flattened, Member, flatten, layer, member

from spank_container.errors import UserError
from spank_container.images import meta_json
from spank_container.images.documents import chosen, read_configuration, read_manifest
from spank_container.images.elf import soname
from spank_container.images.findings import _read_libc
from spank_container.images.image_config import Manifest

TASK = "pull docker:docker.io/library/debian:trixie"
KINDS = [
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    b"S",
    b"x",
]
NAMES = st.sampled_from(
    [".wh.", ".wh.a", ".wh..", ".wh..wh..opq", ".wh..wh.plnk", "..", ".", "", "/", "//a", "a/", "a/../b", "\udcff"]
) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=120)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@st.composite
def members(draw: st.DrawFn) -> Member:
    data = draw(st.binary(max_size=40))
    return member(
        draw(PATHS),
        data,
        type=draw(st.sampled_from(KINDS)),
        linkname=draw(PATHS),
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**33)),
        gid=draw(st.integers(0, 2**33)),
        mtime=draw(st.integers(0, 2**36) | st.just(1.5)),
        pax_headers=draw(st.dictionaries(PAX_KEYS, st.text(st.characters(codec="utf-8"), max_size=9), max_size=2)),
    )


PAX_KEYS = st.sampled_from(["path", "linkpath", "size", "uid", "mtime", "GNU.sparse.map", "SCHILY.xattr.user.x", "x"])
LAYERS = st.lists(members(), max_size=5).map(lambda listed: layer(*listed))


def fuzzed(*layers: bytes) -> Flattened | None:
    with tempfile.TemporaryDirectory() as folder:
        return attempt(lambda: flatten(*layers, path=Path(folder)), UserError)


def check_tree(found: Flattened | None) -> None:
    """No name leads out of the tree, and nothing that only root may have is in it."""
    for name, info in found.tree.items() if found else ():
        assert not {"", ".", ".."} & {*name.split("/")}
        assert not info.ischr()
        assert not info.isblk()
        assert info.mode & 0o7000 in {0, 0o1000}


@given(st.lists(LAYERS, min_size=1, max_size=2))
def test_members_of_any_kind(layers: list[bytes]) -> None:
    check_tree(fuzzed(*layers))


@given(
    LAYERS, st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 255)), max_size=6), st.none() | st.integers(0, 4096)
)
def test_damaged_archives(data: bytes, damages: list[tuple[int, int]], end: int | None) -> None:
    """A header whose checksum was not mended is refused for that; see the next test for those that were."""
    damaged = bytearray(data)
    for place, value in damages:
        damaged[place % len(damaged)] = value
    check_tree(fuzzed(bytes(damaged[:end])))


FIELDS = st.lists(
    st.tuples(
        st.integers(0, 511), st.binary(min_size=1, max_size=12) | st.sampled_from([b"\x80" + b"\xff" * 11, b"-1 "])
    ),
    max_size=4,
)


@given(members(), FIELDS, st.binary(max_size=600))
@example(member("a"), [(124, b"77777777777 ")], b"")
@example(member("a"), [(124, b"\xff" * 12)], b"")
def test_headers_that_lie(made: Member, fields: list[tuple[int, bytes]], behind: bytes) -> None:
    """Sound by their checksum."""
    header = bytearray(made[0].tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")[-512:])
    for place, value in fields:
        header[place : place + len(value)] = value[: 512 - place]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    check_tree(fuzzed(bytes(header) + made[1] + behind))


NUMBERS = st.sampled_from(["0", "1", "10", "4096", "-1", "9" * 30, "", "x"]) | st.integers(0, 600).map(str)


@given(st.binary(max_size=600), st.lists(NUMBERS, max_size=6), st.sampled_from(["0", "1"]), NUMBERS)
def test_sparse_files(data: bytes, numbers: list[str], minor: str, size: str) -> None:
    """GNU's formats, whose maps say where a file's bytes belong."""
    headers = {"GNU.sparse.major": "1" if minor == "0" else "0", "GNU.sparse.minor": minor, "GNU.sparse.name": "a"}
    headers |= {"GNU.sparse.map": ",".join(numbers), "GNU.sparse.realsize": size, "GNU.sparse.size": size}
    in_file = "\n".join(numbers).encode().ljust(512, b"\0")
    check_tree(fuzzed(layer(member("a", in_file + data, pax_headers=headers))))


HEADS = st.sampled_from([b"\x7fELF", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01"])


@given(HEADS, st.binary(max_size=400))
@example(b"\x7fELF", b"")
@example(b"\x7fELF\x02\x01\x01", b"GNU C Library (x) stable release version 2.4" + b"1" * 5000)
@example(b"\x7fELF\x02\x01\x01", b"GNU C Library " * 5000)
def test_libraries(head: bytes, data: bytes) -> None:
    assert len(soname(head + data)) <= 255
    found = _read_libc(head + data)
    assert found is None or len(found.version) < 60


@given(st.binary(max_size=1200), st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAX", b"BZh9"]))
def test_bytes_that_are_no_archive(data: bytes, magic: bytes) -> None:
    check_tree(fuzzed(magic + data))


@settings(max_examples=20)
@given(LAYERS, st.integers(1, 200))
def test_archives_that_end_too_early(data: bytes, cut: int) -> None:
    packed = gzip.compress(data)
    assert fuzzed(packed[: max(2, len(packed) - cut)]) is None


DESCRIPTORS = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from(["application/vnd.oci.image.config.v1+json", "x"]) | JSON,
        "digest": st.just(f"sha256:{'0' * 64}") | JSON,
        "size": st.just(1) | JSON,
        "platform": st.fixed_dictionaries({"architecture": st.just("amd64") | JSON, "os": st.just("linux") | JSON})
        | JSON,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.just(2) | JSON,
        "mediaType": st.just("application/vnd.oci.image.manifest.v1+json") | JSON,
        "manifests": st.lists(DESCRIPTORS, max_size=3) | JSON,
        "config": DESCRIPTORS | JSON,
        "layers": st.lists(DESCRIPTORS, max_size=3) | JSON,
    },
).map(json.dumps)
CONFIGURATIONS = st.fixed_dictionaries(
    {"architecture": st.just("amd64") | JSON, "os": st.just("linux") | JSON},
    optional={
        "config": st.dictionaries(st.sampled_from(["Env", "Entrypoint", "Cmd", "WorkingDir", "User", "Labels"]), JSON),
        "rootfs": st.fixed_dictionaries(
            {"diff_ids": st.lists(st.just(f"sha256:{'0' * 64}") | JSON, max_size=2) | JSON}
        ),
    },
).map(json.dumps)
HOSTILE = st.sampled_from(["", "[" * 12_000, '{"a":' * 5_000, "9" * 10_000, "NaN", '"\\ud800"', "{}", "null"])


@given(DOCUMENTS | HOSTILE | TYPED.map(json.dumps))
def test_manifests_and_indexes(text: str) -> None:
    attempt(lambda: read_manifest(TASK, text.encode()), UserError)
    attempt(lambda: chosen(TASK, text.encode(), "amd64"), UserError)


@given(CONFIGURATIONS | HOSTILE, st.integers(0, 2))
def test_configurations_of_images(text: str, layers: int) -> None:
    data = text.encode()
    descriptor = {"mediaType": "x", "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    manifest = Manifest.model_validate({"schemaVersion": 2, "config": descriptor, "layers": [descriptor] * layers})
    found = attempt(lambda: read_configuration(TASK, data, manifest, "amd64"), UserError)
    assert found is None or (found.os, found.architecture, len(found.rootfs.diff_ids)) == ("linux", "amd64", layers)


@given(st.binary(max_size=100) | HOSTILE.map(str.encode) | JSON.map(lambda document: json.dumps(document).encode()))
def test_descriptions_in_the_store(data: bytes) -> None:
    """Which we have written, and which a broken disk may have changed: ValueError is what their reader expects."""
    with contextlib.suppress(ValueError):
        meta_json.decode(data)
