"""What is learned of an image's files: real libraries of this machine, made ones, and hostile ones."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from spank_container.images.elf import soname
from spank_container.images.findings import Finder
from spank_container.images.members import Kind, Member
from spank_container.values.image_meta import Findings, Libc, MpiLibrary

MUSL = b"\x7fELF\0\0musl libc (x86_64)\nVersion %s\n\0\0001.2.5\0"
GLIBC = b"\x7fELF...GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\nCopyright"


def library(name: bytes, bits: int = 64, order: str = "<") -> bytes:
    """The least that has a DT_SONAME: a header, PT_LOAD and PT_DYNAMIC, and the strings at address 0x1000."""
    wide = bits == 64
    dynamic = b"".join(
        struct.pack(order + ("qQ" if wide else "iI"), tag, value) for tag, value in ((5, 0x1000), (14, 1), (0, 0))
    )
    strings = b"\0" + name + b"\0"
    start = 64 + 2 * 56
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2]) + bytes(10)
    rest = struct.pack(order + ("16xQ14xHH" if wide else "12xI10xHH"), 64, 56 if wide else 32, 2)
    head = (ident + rest).ljust(64, b"\0")
    fields = [(1, start, 0x1000, len(strings)), (2, start + len(strings), 0x2000, len(dynamic))]
    if wide:
        segments = [
            struct.pack(order + "IIQQQQQQ", kind, 4, at, to, to, size, size, 1) for kind, at, to, size in fields
        ]
    else:
        segments = [
            struct.pack(order + "IIIIIIII", kind, at, to, to, size, size, 4, 1) for kind, at, to, size in fields
        ]
    return (head + b"".join(segments)).ljust(start, b"\0") + strings + dynamic


def seen(**files: bytes) -> Findings:
    finder = Finder()
    for path, content in files.items():
        if finder.wants([path], len(content)):
            finder.take([path], content)
    return finder.findings(lambda _path: None, ())


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_soname_of_a_library(bits: int, order: str) -> None:
    assert soname(library(b"libmpi.so.40", bits, order)) == "libmpi.so.40"


def test_the_soname_of_this_machines_libc() -> None:
    files = [*Path("/usr/lib").glob("*-linux-gnu/libc.so.6"), *Path("/lib64").glob("libc.so.6")]
    assert soname(files[0].read_bytes()) == "libc.so.6"


@pytest.mark.parametrize("name", [b"", b"x" * 256, b"a\nb", b"\xff", b"\x1b[2J"])
def test_no_name_that_is_none(name: bytes) -> None:
    assert soname(library(name)) == ""


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\2\1", b"\x7fELF\2\1".ljust(64, b"\xff"), b"MZ" * 50])
def test_what_is_no_library(data: bytes) -> None:
    assert soname(data) == ""


def test_changed_bytes_never_raise() -> None:
    chance = random.Random(3)  # noqa: S311  the same each time
    whole = library(b"libmpi.so.40")
    for _ in range(20_000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            data[chance.randrange(len(data))] = chance.choice(b"\0\1\2\5\x0e\x7f\x80\xff")
        assert isinstance(soname(bytes(data)), str)


@pytest.mark.parametrize(
    ("path", "content", "libc"),
    [
        ("usr/lib/x86_64-linux-gnu/libc.so.6", GLIBC, Libc("glibc", "2.41")),
        ("lib64/libc-2.28.so", GLIBC, Libc("glibc", "2.41")),
        ("lib/ld-musl-x86_64.so.1", MUSL, Libc("musl", "1.2.5")),
        ("usr/lib/libc.so", MUSL, Libc("musl", "1.2.5")),
        ("opt/conda/x86_64-conda-linux-gnu/sysroot/lib64/libc.so.6", GLIBC, Libc()),
        ("usr/lib/libc.so.6", b"GNU C Library (a script) version 2.1.\n", Libc()),
        ("usr/lib/libc.so.6", b"\x7fELF GNU C Library version \xff\n", Libc()),
        ("usr/lib/libc.so", b"/* GNU ld script */", Libc()),
    ],
)
def test_the_c_library(path: str, content: bytes, libc: Libc) -> None:
    assert seen(**{path: content}).libc == libc


def test_glibc_goes_before_musl() -> None:
    both = seen(**{"lib/ld-musl-x86_64.so.1": MUSL, "usr/lib/libc.so.6": GLIBC})
    assert both.libc == Libc("glibc", "2.41")


def test_mpi_libraries() -> None:
    found = seen(
        **{
            "opt/mpich/lib/libmpi.so.12.3.0": library(b"libmpi.so.12"),
            "opt/cray/lib/libmpi_cray.so.12": library(b"libmpi_cray.so.12"),
            "usr/lib/libmpifort.so.40": b"\x7fELF",
            "usr/lib/libmpi.so": b"INPUT(libmpi.so.40)",
            "usr/lib/libmpich.a": library(b"libmpich"),
            "usr/lib/libmpi.so.40.txt": library(b"libmpi.so.40"),
            "usr/lib/libmpirror.so": library(b"libmpirror.so"),
        }
    )
    assert found.mpi == (
        MpiLibrary("/opt/cray/lib/libmpi_cray.so.12", "libmpi_cray.so.12"),
        MpiLibrary("/opt/mpich/lib/libmpi.so.12.3.0", "libmpi.so.12"),
        MpiLibrary("/usr/lib/libmpifort.so.40", ""),
    )


def test_no_more_is_kept_than_memory_has() -> None:
    finder = Finder()
    assert not finder.wants(["lib/libmpi.so"], (64 << 20) + 1)
    assert not finder.wants(["etc/passwd"], (64 << 10) + 1)
    for number in range(1000):
        finder.take([f"lib{number}/libmpi.so"], b"\x7fELF")
    assert len(finder.findings(lambda _path: None, ()).mpi) == 200


TREE = {
    "bin": Member("bin", Kind.SYMLINK, target="usr/bin"),
    "usr": Member("usr", Kind.DIRECTORY),
    "usr/bin": Member("usr/bin", Kind.DIRECTORY),
    "usr/bin/dash": Member("usr/bin/dash", Kind.FILE, mode=0o755),
    "usr/bin/sh": Member("usr/bin/sh", Kind.SYMLINK, target="dash"),
    "usr/bin/bash": Member("usr/bin/bash", Kind.FILE, mode=0o644),
    "usr/bin/perl": Member("usr/bin/perl", Kind.SYMLINK, target="/../opt/./perl"),
    "usr/bin/python3": Member("usr/bin/python3", Kind.SYMLINK, target="python3"),
    "opt": Member("opt", Kind.DIRECTORY),
    "opt/perl": Member("opt/perl", Kind.FILE, mode=0o500),
    "opt/bash": Member("opt/bash", Kind.DIRECTORY),
}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ((), ("/usr/bin/sh", "/usr/bin/perl")),
        (("PATH=/bin",), ("/bin/sh", "/bin/perl")),
        (("PATH=/bin", "PATH=/opt"), ("/opt/perl",)),
        (("PATH=/opt:/usr/bin/../bin//",), ("/usr/bin/../bin/sh", "/opt/perl")),
        (("PATH=usr/bin::.",), ()),
        (("PATH=/usr/bin/sh:/nowhere",), ()),
    ],
)
def test_interpreters_are_found_as_the_image_would(environment: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert Finder().findings(TREE.get, environment).interpreters == found
