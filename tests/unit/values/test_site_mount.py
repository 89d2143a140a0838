from __future__ import annotations

import pytest

from spank_container.errors import ParseError
from spank_container.values.site_mount import SiteMount, parse_site_mount
from spank_container.values.volume import ContainerPath, HostPath

FLAGS_HINT = "ro, rw, optional are known"
PLACE_HINT = (
    "choose a target outside /proc, /sys, /dev, /opt/spank-container, /opt/udiImage, and below /etc instead of on it"
)


def mount(source: str, target: str, *, read_only: bool = False, optional: bool = False) -> SiteMount:
    return SiteMount(HostPath(source), ContainerPath(target), read_only, optional)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/scratch", mount("/scratch", "/scratch")),
        ("//scratch/./x/", mount("/scratch/x", "/scratch/x")),
        ("/lustre/scratch:/scratch", mount("/lustre/scratch", "/scratch")),
        ("/sw:ro", mount("/sw", "/sw", read_only=True)),
        ("/sw:/opt/sw:RO:Optional", mount("/sw", "/opt/sw", read_only=True, optional=True)),
        ("/sw:optional:rw", mount("/sw", "/sw", optional=True)),
        ("/sw:/sw::ro:", mount("/sw", "/sw", read_only=True)),
        ("/etc/munge", mount("/etc/munge", "/etc/munge")),
        ("/:/host:ro", mount("/", "/host", read_only=True)),
        ("/etc/hosts.container:/etc/hosts", mount("/etc/hosts.container", "/etc/hosts")),
        ("/dev/shm:/node/shm", mount("/dev/shm", "/node/shm")),
        ("/x:/etcetera", mount("/x", "/etcetera")),
        ("/x:/opt/x", mount("/x", "/opt/x")),
    ],
)
def test_one_mount(text: str, expected: SiteMount) -> None:
    assert parse_site_mount(text) == expected
    assert parse_site_mount(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message", "marker", "hint"),
    [
        ("", "the path is not absolute", "^", "begin it with /"),
        ("scratch", "the path is not absolute", "^~~~~~~", "begin it with /"),
        ("/a/../b", "the path has a .. in it", "^~~~~~~", "write the path without .."),
        ("/a:/b/..", "the path has a .. in it", "   ^~~~~", "write the path without .."),
        ("/s/$USER", "nothing replaces $USER here", "^~~~~~~~", "write the path itself: no shell reads #SBATCH lines"),
        ("/a:b", "there is no such flag", "   ^", FLAGS_HINT),
        ("/a:/b:ro:rec", "there is no such flag", "         ^~~", FLAGS_HINT),
        ("/a:/b:perNodeCache=size=1G", "there is no such flag", "      ^" + "~" * 19, FLAGS_HINT),
        ("/a:ro::RO", "the flag RO stands twice", "       ^~", "give each flag once"),
        ("/a:ro:rw", "ro and rw contradict each other", "^~~~~~~~", "give one of them"),
        ("/", "/proc belongs to the container itself", "^", PLACE_HINT),
        ("/a://", "/proc belongs to the container itself", "^~~~~", PLACE_HINT),
        ("/proc", "/proc belongs to the container itself", "^~~~~", PLACE_HINT),
        ("/a:/sys/fs", "/sys belongs to the container itself", "^~~~~~~~~~", PLACE_HINT),
        ("/dev/shm", "/dev belongs to the container itself", "^~~~~~~~", PLACE_HINT),
        ("/a:/opt", "/opt/spank-container belongs to the container itself", "^~~~~~~", PLACE_HINT),
        ("/a:/opt/udiImage/x", "/opt/udiImage belongs to the container itself", "^" + "~" * 17, PLACE_HINT),
        ("/etc/", "/etc belongs to the container itself", "^~~~~", PLACE_HINT),
    ],
)
def test_refusals(text: str, message: str, marker: str, hint: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_site_mount(text)
    assert caught.value.report() == f"{message}\n    {text}\n    {marker}\nhint: {hint}"
