from __future__ import annotations

import pytest

from spank_container.errors import ParseError
from spank_container.values.volume import (
    PROTECTED,
    ContainerPath,
    HostPath,
    ScratchSpec,
    VolumeSpec,
    host_path,
    is_protected,
    parse_volumes,
)

SETTINGS_HINT = "size=, fs=xfs, fs=ext4, bs= and method=loop are known"
SIZE_HINT = "write perNodeCache=size=100G"
CONTRARY_HINT = "a perNodeCache is rw; else ro or rw"
OUTSIDE_HINT = "choose a target outside /etc, /proc, /sys, /dev, /opt/spank-container, /opt/udiImage"
FLAGS_HINT = "ro, rw and perNodeCache=size=... are known, with a : between them"
QUOTE_HINT = "quotes may only stand round a whole SOURCE:TARGET"
SHELL_HINT = "write the path itself: no shell reads #SBATCH lines"
LENGTH_HINT = "4095 bytes at most, and 255 between two /"


def volume(source: str, target: str, *, read_only: bool = False, scratch: ScratchSpec | None = None) -> VolumeSpec:
    return VolumeSpec(HostPath(source), ContainerPath(target), read_only, scratch)


def refusal(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse_volumes(text)
    return caught.value.report()


def marked(message: str, text: str, marker: str, hint: str) -> str:
    return f"--volume: {message}\n    {text}\n    {marker}\nhint: {hint}"


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("/a:/b", "/a", "/b"),
        ("//a/./b//:/c/.//d/", "/a/b", "/c/d"),
        ("/:/host", "/", "/host"),
        ("/a b,$5@d'~:/x y", "/a b,$5@d'~", "/x y"),
        ("/C$:/a$", "/C$", "/a$"),
        ("/a/~:/b", "/a/~", "/b"),
        ("/a..b:/..c", "/a..b", "/..c"),
        ("/日本/é:/x", "/日本/é", "/x"),
        ('"/a:/b"', "/a", "/b"),
        (";;/a:/b;", "/a", "/b"),
        ('"";/a:/b;""', "/a", "/b"),
        ("/a:/etcetera", "/a", "/etcetera"),
        ("/a:/opt/x", "/a", "/opt/x"),
        ("/a:/opt/spank-containers", "/a", "/opt/spank-containers"),
        ("/a:/var", "/a", "/var"),
        ("/a:/var/tmp", "/a", "/var/tmp"),
        ("/a:/tmp", "/a", "/tmp"),
        ("/a:/b:", "/a", "/b"),
        ('"/a:/b::"', "/a", "/b"),
        ("/a:/usr", "/a", "/usr"),
        (f"/{'a' * 255}:/{'é' * 127}", f"/{'a' * 255}", f"/{'é' * 127}"),
        (f"{'/abc' * 1023}/de:/x", f"{'/abc' * 1023}/de", "/x"),
    ],
)
def test_one_volume(text: str, source: str, target: str) -> None:
    assert parse_volumes(text) == (volume(source, target),)


def test_several_volumes() -> None:
    assert parse_volumes('/a:/b;"/c:/d:ro";/e:/f') == (
        volume("/a", "/b"),
        volume("/c", "/d", read_only=True),
        volume("/e", "/f"),
    )


@pytest.mark.parametrize(("flag", "read_only"), [("ro", True), ("RO", True), ("rw", False), ("Rw", False)])
def test_read_only_or_not(flag: str, read_only: bool) -> None:  # noqa: FBT001
    assert parse_volumes(f"/a:/b:{flag}") == (volume("/a", "/b", read_only=read_only),)
    assert parse_volumes(f"/a:/b::{flag}:") == (volume("/a", "/b", read_only=read_only),)


@pytest.mark.parametrize(
    ("flags", "scratch"),
    [
        ("perNodeCache=size=100G", ScratchSpec(100 << 30)),
        ("PERNODECACHE=SIZE=100g,FS=XFS", ScratchSpec(100 << 30)),
        ("perNodeCache=fs=ext4,size=8M", ScratchSpec(8 << 20, "ext4")),
        ("perNodeCache=size=300M,bs=4k,method=loop", ScratchSpec(300 << 20, "xfs", 4096)),
        ("perNodeCache=bs=1024,size=1.5G:rw", ScratchSpec(3 << 29, "xfs", 1024)),
        ("rw:perNodeCache=bs=2K,size=1e9,fs=ext4", ScratchSpec(10**9, "ext4", 2048)),
        ("perNodeCache=,size=1G,,", ScratchSpec(1 << 30)),
        ("perNodeCache=Method=LOOP,Fs=EXT4,Size=.5g,BS=4KiB", ScratchSpec(1 << 29, "ext4", 4096)),
    ],
)
def test_a_cache(flags: str, scratch: ScratchSpec) -> None:
    assert parse_volumes(f"/a/file:/mnt:{flags}") == (volume("/a/file", "/mnt", scratch=scratch),)


@pytest.mark.parametrize(
    ("volumes", "text"),
    [
        (volume("/a", "/b"), "/a:/b"),
        (volume("/a", "/b", read_only=True), "/a:/b:ro"),
        (volume("/a", "/b", scratch=ScratchSpec(1 << 30)), "/a:/b:perNodeCache=size=1G,fs=xfs"),
        (
            volume("/a", "/b", scratch=ScratchSpec(10**9, "ext4", 4096)),
            "/a:/b:perNodeCache=size=1000000000,fs=ext4,bs=4096",
        ),
    ],
)
def test_the_canonical_text(volumes: VolumeSpec, text: str) -> None:
    assert str(volumes) == text
    assert parse_volumes(text) == (volumes,)


@pytest.mark.parametrize(
    ("text", "message", "marker", "hint"),
    [
        ("", "it is empty", "^", "write SOURCE:TARGET"),
        (";;", "it is empty", "^~", "write SOURCE:TARGET"),
        ("/a", "a volume needs a source and a target", "^~", "write SOURCE:TARGET"),
        ("/a:/b;/c;", "a volume needs a source and a target", "      ^~", "write SOURCE:TARGET"),
        ('"/a"', "a volume needs a source and a target", " ^~", "write SOURCE:TARGET"),
        ('"', "a volume needs a source and a target", "^", "write SOURCE:TARGET"),
        ('""""', "a volume needs a source and a target", " ^~", "write SOURCE:TARGET"),
        ("a:/b", "the path is not absolute", "^", "begin it with /"),
        (":/b", "the path is not absolute", "^", "begin it with /"),
        ("/a:", "the path is not absolute", "   ^", "begin it with /"),
        ("/a: /b", "the path is not absolute", "   ^~~", "begin it with /"),
        ("$HOME:/b", "nothing replaces $HOME here", "^~~~~", SHELL_HINT),
        ("/s/${USER}/d:/b", "nothing replaces ${USER} here", "^~~~~~~~~~~~", SHELL_HINT),
        ("/s/$(id -un)/d:/b", "nothing replaces $(id -un) here", "^~~~~~~~~~~~~~", SHELL_HINT),
        ("/a:/home/$USER/b", "nothing replaces $USER here", "   ^~~~~~~~~~~~~", SHELL_HINT),
        ("/a:/b/${x", "nothing replaces ${x here", "   ^~~~~~", SHELL_HINT),
        ("~/a:/b", "nothing replaces the ~ here", "^~~", "write the path itself; on a command line, $HOME"),
        ("/a:~", "nothing replaces the ~ here", "   ^", "write the path itself; on a command line, $HOME"),
        ('/a"b:/c', "the path holds a quote", "^~~~", QUOTE_HINT),
        ('/a:"/b c":ro', "the path holds a quote", "   ^~~~~~", QUOTE_HINT),
        ('"/a:/b";"/c":/d', "the path holds a quote", "        ^~~~", QUOTE_HINT),
        ('"/a:/b;/c:/d"', "the path holds a quote", "^~~", QUOTE_HINT),
        ("/a/..:/b", "the path has a .. in it", "^~~~~", "write the path without .."),
        ("/a:/b/../etc", "the path has a .. in it", "   ^~~~~~~~~", "write the path without .."),
        ("/a::/b", "the path is not absolute", "   ^", "begin it with /"),
        ("/a:/b: ", "there is no such flag", "      ^", FLAGS_HINT),
        ("/a:/b::ro,rec", "there is no such flag", "       ^~~~~~", FLAGS_HINT),
        ("/a:/b:rec", "there is no such flag", "      ^~~", FLAGS_HINT),
        ("/a:/b:ro=1", "there is no such flag", "      ^~~~", FLAGS_HINT),
        ("/a:/b:ro:RO", "the flag RO stands twice", "         ^~", "give each flag once"),
        ('/a:/b;"/c:/d:ro:rw"', "these flags contradict each other", "             ^~~~~", CONTRARY_HINT),
        (
            "/a:/b:perNodeCache=size=1G:ro",
            "these flags contradict each other",
            "      ^~~~~~~~~~~~~~~~~~~~~~~",
            CONTRARY_HINT,
        ),
        ("/a:/b:perNodeCache", "perNodeCache needs a size", "      ^~~~~~~~~~~~", SIZE_HINT),
        ("/a:/b:perNodeCache=", "perNodeCache needs a size", "      ^~~~~~~~~~~~~", SIZE_HINT),
        ("/a:/b:perNodeCache=fs=xfs", "perNodeCache needs a size", "      ^~~~~~~~~~~~~~~~~~~", SIZE_HINT),
        ("/a:/b:perNodeCache=size", "this is no size", " " * 23 + "^", "write 500M, 1.5G or 4T"),
        ("/a:/b:perNodeCache=size=:rw", "this is no size", " " * 24 + "^", "write 500M, 1.5G or 4T"),
        ("/a:/b:perNodeCache=size=10Q", "this is no size", " " * 24 + "^~~", "write 500M, 1.5G or 4T"),
        (
            "/a:/b:perNodeCache=size=0",
            "the size is out of range",
            " " * 24 + "^",
            "give at least one byte and less than 8E",
        ),
        ("/a:/b:perNodeCache=size=1G,size=2G", "size stands twice", " " * 27 + "^~~~~~~", "give it once"),
        ("/a:/b:perNodeCache=size=1G, ", "perNodeCache does not know this", " " * 27 + "^", SETTINGS_HINT),
        ("/a:/b:perNodeCache=size=1G,bogus=1", "perNodeCache does not know this", " " * 27 + "^~~~~~~", SETTINGS_HINT),
        (
            "/a:/b:perNodeCache=fs=btrfs,size=1G",
            "perNodeCache does not know this",
            " " * 19 + "^~~~~~~~",
            SETTINGS_HINT,
        ),
        ("/a:/b:perNodeCache=method=zram", "perNodeCache does not know this", " " * 19 + "^~~~~~~~~~~", SETTINGS_HINT),
        (
            "/a:/b:perNodeCache=size=299M",
            "299M is too small for xfs",
            "      ^~~~~~~~~~~~~~~~~~~~~~",
            "give at least 300M, or fs=ext4",
        ),
        (
            "/a:/b:perNodeCache=size=7M,fs=ext4",
            "7M is too small for ext4",
            "      ^~~~~~~~~~~~~~~~~~~~~~~~~~~~",
            "give at least 8M",
        ),
        (
            "/a:/b:perNodeCache=size=1G,bs=512",
            "there is no such block size",
            "      ^~~~~~~~~~~~~~~~~~~~~~~~~~~",
            "bs=1k, bs=2k and bs=4k are known",
        ),
        (
            "/a:/b:perNodeCache=size=1G,bs=1M",
            "there is no such block size",
            "      ^~~~~~~~~~~~~~~~~~~~~~~~~~",
            "bs=1k, bs=2k and bs=4k are known",
        ),
    ],
)
def test_refusals(text: str, message: str, marker: str, hint: str) -> None:
    assert refusal(text) == marked(message, text, marker, hint)


@pytest.mark.parametrize("bad", ["\0", "\n", "\x1b", "\u202e", "\udcff"])
def test_paths_that_cannot_be_printed(bad: str) -> None:
    assert refusal(f"/a{bad}:/b") == marked(
        "the path holds an unprintable character", "/a\ufffd:/b", "^~~", "rename the folder"
    )


def test_paths_that_the_kernel_would_not_take() -> None:
    name = f"/{'a' * 256}:/b"
    assert refusal(name) == marked("the path is too long", f"{name[:72]}...", "^" + "~" * 71, LENGTH_HINT)
    assert refusal(f"/{'é' * 128}:/b").startswith("--volume: the path is too long\n")
    assert refusal(f"/a:{'/abc' * 1024}").startswith("--volume: the path is too long\n")


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/./", "/"),
        ("//etc", "/etc"),
        ("/./etc", "/etc"),
        ("/etc/", "/etc"),
        ("/etc/passwd", "/etc"),
        ("/proc/self", "/proc"),
        ("/sys", "/sys"),
        ("/dev/shm", "/dev"),
        ("/opt", "/opt/spank-container"),
        ("/opt/spank-container", "/opt/spank-container"),
        ("/opt//udiImage/bin", "/opt/udiImage"),
    ],
)
def test_protected_targets(target: str, place: str) -> None:
    text, marker = f"/a:{target}", "   ^" + "~" * (len(target) - 1)
    assert refusal(text) == marked(f"{place} belongs to the container itself", text, marker, OUTSIDE_HINT)


def test_what_is_protected() -> None:
    assert all(is_protected(place) and is_protected(f"{place}/x") for place in PROTECTED)
    assert is_protected("/")
    assert is_protected("/opt")
    assert is_protected("/.")  # how the executor writes the root of an image
    assert not any(is_protected(place) for place in ("/opt/x", "/etcetera", "/x/etc", "/var", "/procs"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/home/alice", "/home/alice"),
        ("//home//alice/./", "/home/alice"),
        ("/run:1;2", "/run:1;2"),
        ("/a:/b", "/a:/b"),
        ("", None),
        ("alice", None),
        (";/a", None),
        ("/a/../b", None),
        ("/a\n", None),
        ("/a\udcff", None),
        ('/a"', None),
        ("/" + "a" * 256, None),
    ],
)
def test_a_path_that_stands_alone(text: str, path: str | None) -> None:
    assert host_path(text) == path
