"""What becomes of each kind of member, rule by rule."""

from __future__ import annotations

import gzip
import random
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
from tar_layers import Flattened, Member, blobs_of, digest_of, flatten, folder, layer, link, member, symlink

from spank_container.errors import UserError
from spank_container.images import inflate
from spank_container.images.layers import Blob, BrokenBlobError, opened
from spank_container.images.merge import merge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_mock import MockerFixture

    Flatten = Callable[..., Flattened]


@pytest.fixture
def flat(tmp_path: Path) -> Flatten:
    return lambda *layers: flatten(*layers, path=tmp_path)


# Whiteouts


def test_a_whiteout_hides_a_file_and_a_tree(flat: Flatten) -> None:
    below = layer(folder("a"), member("a/x"), folder("a/d"), member("a/d/y"), member("b"))
    found = flat(below, layer(member("a/.wh.x"), member("a/.wh.d"), member(".wh.b")))
    assert set(found.tree) == {"a"}


def test_a_whiteout_is_about_the_layers_below_wherever_it_stands(flat: Flatten) -> None:
    below = layer(member("f", b"old"), folder("d"), member("d/old"))
    found = flat(below, layer(member("f", b"new"), member("d/new"), member(".wh.f"), member(".wh.d")))
    assert found.content == {"f": b"new", "d/new": b""}


def test_what_was_deleted_may_come_back(flat: Flatten) -> None:
    found = flat(layer(folder("d", 0o700), member("d/x", b"1")), layer(member(".wh.d")), layer(member("d/y", b"2")))
    assert found.content == {"d/y": b"2"}
    assert found.tree["d"].mode == 0o755


def test_an_opaque_directory_hides_all_that_was_in_it(flat: Flatten) -> None:
    below = layer(folder("d", 0o700), member("d/x"), folder("d/e"), member("d/e/y"), member("z"))
    found = flat(below, layer(member("d/new"), member("d/.wh..wh..opq")))
    assert set(found.tree) == {"d", "d/new", "z"}
    assert found.tree["d"].mode == 0o700


def test_an_opaque_root_hides_everything(flat: Flatten) -> None:
    assert set(flat(layer(member("x"), folder("d")), layer(member(".wh..wh..opq"), member("y"))).tree) == {"y"}


def test_whiteouts_of_what_is_not_there_do_nothing(flat: Flatten) -> None:
    found = flat(layer(member("f")), layer(member("f/.wh.x"), member("f/.wh..wh..opq"), member("g/.wh.x")))
    assert set(found.tree) == {"f"}


def test_the_records_of_aufs_are_no_files(flat: Flatten) -> None:
    found = flat(layer(folder(".wh..wh.plnk"), member(".wh..wh.plnk/1.2"), member(".wh..wh.aufs"), member("f")))
    assert set(found.tree) == {"f"}


# What replaces what


def test_the_last_duplicate_wins(flat: Flatten) -> None:
    found = flat(layer(member("f", b"1"), member("f", b"2"), folder("d", 0o700), member("d/x"), folder("d", 0o711)))
    assert found.content == {"f": b"2", "d/x": b""}
    assert found.tree["d"].mode == 0o711


def test_a_file_for_a_directory_and_back(flat: Flatten) -> None:
    below = layer(folder("a"), member("a/x"), member("b"))
    found = flat(below, layer(member("a", b"file"), folder("b"), member("b/y")))
    assert set(found.tree) == {"a", "b", "b/y"}
    assert found.content["a"] == b"file"
    assert found.tree["b"].isdir()


def test_a_directorys_attributes_are_those_of_the_highest_entry(flat: Flatten) -> None:
    found = flat(layer(folder("d", 0o700, uid=5, mtime=9)), layer(folder("d", 0o711)), layer(member("d/x")))
    assert (found.tree["d"].mode, found.tree["d"].uid, found.tree["d"].mtime) == (0o711, 0, 0)


def test_the_roots_attributes(flat: Flatten) -> None:
    assert flat(layer(folder("./", 0o701), member("./f"))).root_mode == 0o701
    assert flat(layer(member("f"))).root_mode == 0o755


def test_a_directory_takes_the_place_of_a_link_below(flat: Flatten) -> None:
    """As in an overlay of the layers; above all, the link is not followed."""
    for upper in (layer(folder("lib"), member("lib/x")), layer(member("lib/x"))):
        found = flat(layer(folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib")), upper)
        assert found.tree["lib"].isdir()
        assert set(found.tree) == {"usr", "usr/lib", "lib", "lib/x"}


# Hard links


def test_hard_links_within_a_layer(flat: Flatten) -> None:
    found = flat(layer(member("a", b"1"), link("b", "a"), link("./c", "/b"), link("d", "./a")))
    assert found.names["a"] == {"a", "b", "c", "d"}
    assert found.content["d"] == b"1"


def test_a_link_survives_the_name_that_it_was_made_with(flat: Flatten) -> None:
    below = layer(member("a", b"1"), link("b", "a"), member("x", b"2"), link("y", "x"), link("z", "x"))
    found = flat(below, layer(member(".wh.a"), member("x", b"3")))
    assert found.content == {"b": b"1", "x": b"3", "y": b"2", "z": b"2"}
    assert found.names["y"] == {"y", "z"}
    assert found.names["x"] == {"x"}


def test_a_link_to_a_file_of_a_layer_below(flat: Flatten) -> None:
    found = flat(layer(member("a", b"1", mode=0o600)), layer(link("b", "a")), layer(member(".wh.a")))
    assert found.content == {"b": b"1"}
    assert found.tree["b"].mode == 0o600


def test_a_link_keeps_what_it_was_made_to(flat: Flatten) -> None:
    found = flat(layer(member("a", b"1"), link("b", "a"), member("a", b"2")))
    assert found.content == {"a": b"2", "b": b"1"}


def test_a_link_to_itself_and_to_a_symbolic_link(flat: Flatten) -> None:
    found = flat(layer(member("a", b"1"), symlink("s", "/x"), link("t", "s")), layer(link("a", "a")))
    assert found.content == {"a": b"1"}
    assert found.tree["t"].linkname == "/x"


def test_a_link_to_what_its_own_parent_replaces(flat: Flatten) -> None:
    found = flat(layer(member("a", b"1")), layer(link("a/b", "a")))
    assert found.content == {"a/b": b"1"}


# Attributes


def test_setuid_and_setgid_end_here(flat: Flatten) -> None:
    found = flat(layer(member("su", mode=0o4755), member("wall", mode=0o2755), folder("tmp", 0o7777)))
    assert [found.tree[name].mode for name in ("su", "wall", "tmp")] == [0o755, 0o755, 0o1777]


def test_devices_are_dropped_and_hide_what_was_there(flat: Flatten) -> None:
    below = layer(folder("dev"), member("dev/null"), member("dev/sda"))
    devices = layer(
        member("dev/null", type=tarfile.CHRTYPE), member("dev/sda", type=tarfile.BLKTYPE), link("dev/copy", "dev/null")
    )
    assert set(flat(below, devices).tree) == {"dev"}


def test_pipes_are_kept(flat: Flatten) -> None:
    assert flat(layer(member("p", type=tarfile.FIFOTYPE, mode=0o622))).tree["p"].isfifo()


def test_only_the_users_attributes_are_kept(flat: Flatten) -> None:
    names = ("user.a", "security.capability", "trusted.overlay.opaque", "system.posix_acl_access", "user.b=c")
    headers = {f"SCHILY.xattr.{name}": "\udcff\n\0=x" for name in names}
    found = flat(layer(member("f", pax_headers=headers), folder("d", pax_headers=headers)))
    for name in ("f", "d"):
        kept = {key: value for key, value in found.tree[name].pax_headers.items() if "xattr" in key}
        assert kept == {"SCHILY.xattr.user.a": "\udcff\n\0=x"} | (
            # tarfile ends a keyword at its first "=", as POSIX says.
            {"SCHILY.xattr.user.b": "c=\udcff\n\0=x"}
        )


def test_owners_and_times(flat: Flatten) -> None:
    found = flat(
        layer(
            member("big", uid=2**32 - 2, gid=2**31, mtime=2**32 - 1),
            member("old", mtime=-5.5),
            member("late", mtime=2**40),
            member("part", mtime=7.75),
        )
    )
    assert (found.tree["big"].uid, found.tree["big"].gid, found.tree["big"].mtime) == (2**32 - 2, 2**31, 2**32 - 1)
    assert [found.tree[name].mtime for name in ("old", "late", "part")] == [0, 2**32 - 1, 7]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_strange_names(flat: Flatten, form: Literal[1, 2]) -> None:
    deep = "/".join(["d" * 200] * 15)
    names = [f"{deep}/{'f' * 255}", "\udcff\udcfe\u00e9", "a\nb\t\\", " ", "100%" * 25, "x" * 101]
    found = flat(layer(*(member(name, name.encode(errors="surrogateescape")) for name in names), form=form))
    assert set(names) <= set(found.tree)
    assert all(found.content[name] == name.encode(errors="surrogateescape") for name in names)
    found = flat(layer(*(symlink(str(n), name) for n, name in enumerate(names)), form=form))
    assert [found.tree[str(n)].linkname for n in range(len(names))] == names


def test_names_of_the_root_and_of_here(flat: Flatten) -> None:
    found = flat(layer(folder("."), folder("/"), member("//a"), member("./b/./c"), member("/etc/d")))
    assert set(found.tree) == {"a", "b", "b/c", "etc", "etc/d"}


def test_accounts_are_captured(flat: Flatten) -> None:
    found = flat(
        layer(folder("etc"), member("etc/passwd", b"old"), member("etc/group", b"g")),
        layer(member("etc/passwd", b"new\xff")),
    )
    assert found.captured == {"etc/passwd": "new\udcff", "etc/group": "g"}


@pytest.mark.parametrize(
    "passwd",
    [
        symlink("etc/passwd", "/etc/shadow"),
        member("etc/passwd", type=tarfile.FIFOTYPE),
        member("etc/passwd", type=tarfile.CHRTYPE),
        folder("etc/passwd"),
        member("etc/passwd", bytes(65537)),
    ],
)
def test_what_is_no_small_file_is_not_captured(flat: Flatten, passwd: Member) -> None:
    """CVE-2024-9676: a pipe or device named /etc/passwd."""
    assert flat(layer(passwd)).captured == {}


# Content


def gnu_tar(path: Path, *options: str) -> bytes:
    return subprocess.run(["tar", "-C", path, "-c", *options, "."], check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu",),
        ("--format=posix", "--sparse-version=0.0"),
        ("--format=posix", "--sparse-version=0.1"),
        ("--format=posix", "--sparse-version=1.0"),
    ],
    ids=" ".join,
)
def test_sparse_files(flat: Flatten, tmp_path: Path, options: tuple[str, ...]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as file:
        for number in range(30):  # more extents than fit into one header
            file.seek(number * 1_000_000 + 4096)
            file.write(b"data %d" % number)
        file.truncate(40_000_000)
    (tree / "after").write_bytes(b"after")
    packed = gnu_tar(tree, "--sparse", *options)
    assert len(packed) < 1_000_000
    found = flat(packed)
    assert found.content["sparse"] == (tree / "sparse").read_bytes()
    assert found.content["after"] == b"after"


@pytest.mark.parametrize("form", ["plain", "gzip", "gzip in parts", "zstd", "zstd in parts"])
def test_every_compression(flat: Flatten, form: str) -> None:
    content = random.Random(1).randbytes(700_000)  # noqa: S311  the same in every run
    plain = layer(member("f", content), member("g", b"g"))
    half = len(plain) // 2

    def zstd(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-c"], input=data, check=True, capture_output=True).stdout

    packed = {
        "plain": lambda: plain,
        "gzip": lambda: gzip.compress(plain),
        "gzip in parts": lambda: gzip.compress(plain[:half]) + gzip.compress(plain[half:]),
        "zstd": lambda: zstd(plain),
        "zstd in parts": lambda: zstd(plain[:half]) + zstd(plain[half:]),
    }[form]()
    assert flat(packed, layer(member("h", b"h"))).content == {"f": content, "g": b"g", "h": b"h"}


def test_gzip_without_isal(flat: Flatten, mocker: MockerFixture) -> None:
    """Where there is no wheel of it."""
    mocker.patch.object(inflate, "_Gzip", gzip.GzipFile)
    packed = gzip.compress(layer(member("f", bytes(700_000)))) + gzip.compress(b"\0" * 512)
    assert flat(packed).content == {"f": bytes(700_000)}
    assert "cannot be decompressed" in broken(flat, packed[:-5])


def test_files_come_from_many_layers(flat: Flatten) -> None:
    layers = [
        gzip.compress(layer(member(f"f{n}", bytes([n]) * n * 1000), member("same", bytes([n])))) for n in range(20)
    ]
    found = flat(*layers)
    assert found.content == {f"f{n}": bytes([n]) * n * 1000 for n in range(20)} | {"same": bytes([19])}


def test_an_archive_without_an_end(flat: Flatten) -> None:
    assert set(flat(layer(member("f", b"1"))[:-1024]).tree) == {"f"}


def test_sha512(tmp_path: Path) -> None:
    data = layer(member("f"))
    path = tmp_path / "blob"
    path.write_bytes(data)
    digest = digest_of(data, "sha512")
    with opened([Blob(digest, digest, len(data), path)]) as layers:
        assert merge(layers).files


def test_files_come_as_they_lie_in_the_layers(flat: Flatten) -> None:
    """From the top layer down; directories come last, sorted."""
    found = flat(layer(member("z"), folder("d"), member("a"), folder("c")), layer(member("m"), symlink("b", "z")))
    assert list(found.tree) == ["m", "b", "z", "a", "c", "d"]


@pytest.mark.parametrize(
    "layers",
    [
        [[member("f", b"1"), member("f", b"2")]],
        [[folder("d"), member("d", b"1")]],
        [[member("d/x"), member("d", b"1")]],
        [[member("a", b"1")], [link("b", "a")]],
        [[member("a", b"1"), link("b", "a")], [member("a", b"2")]],
        [[member("f"), folder("./", 0o700)]],
        [[folder("./", 0o701), member("f"), folder("./", 0o700)]],
        [[member("x", b"root:x:0:0::/:\n"), link("etc/passwd", "x")]],
    ],
)
def test_what_one_reading_cannot_decide(flat: Flatten, layers: list[list[Member]]) -> None:
    assert not flat(*(layer(*members) for members in layers)).once


# Hostile layers


def refusal(flat: Flatten, *layers: bytes) -> str:
    with pytest.raises(UserError) as caught:
        flat(*layers)
    start, _, why = caught.value.message.partition(": ")
    assert start == f"layer {digest_of(layers[-1])}"
    return why


LONG = "x" * 256
HOSTILE = {
    "dots": (member("../etc/passwd"), "member '../etc/passwd': '..' leads out of its folder"),
    "dots inside": (member("a/../../b"), "member 'a/../../b': '..' leads out of its folder"),
    "dots only": (folder(".."), "member '../': '..' leads out of its folder"),
    "absolute dots": (member("/../x"), "member '/../x': '..' leads out of its folder"),
    "link out": (link("a", "../../etc/shadow"), "member '../../etc/shadow': '..' leads out of its folder"),
    "root link": (symlink(".", "/etc"), "member '.': only a directory can be the root"),
    "slash link": (symlink("/", "/etc"), "member '/': only a directory can be the root"),
    "nothing": (member(""), "member '': only a directory can be the root"),
    "root is a file": (member("./"), "member './': only a directory can be the root"),
    "whiteout of nothing": (member("a/.wh."), "member 'a/.wh.': it is a whiteout of nothing"),
    "whiteout of here": (member("a/.wh.."), "member 'a/.wh..': it is a whiteout of nothing"),
    "whiteout of above": (member("a/.wh..."), "member 'a/.wh...': it is a whiteout of nothing"),
    "below a whiteout": (member(".wh.a/b"), "member '.wh.a/b': it lies below a whiteout"),
    "long part": (member(LONG), f"member '{'x' * 200}...': the name is longer than the kernel takes"),
    "long name": (member("y/" * 2048 + "f"), f"member '{'y/' * 100}...': the name is longer than the kernel takes"),
    "NUL": (member("x", pax_headers={"path": "a\0b"}), "member 'a\\x00b': the name has a NUL in it"),
    "escape codes": (member("\x1b[2J/.."), "member '\\x1b[2J/..': '..' leads out of its folder"),
    "empty link": (symlink("s", ""), "member 's': '' cannot be the text of a symbolic link"),
    "long link": (symlink("s", "x" * 4096), f"member 's': '{'x' * 200}...' cannot be the text of a symbolic link"),
    "missing link": (link("a", "b"), "member 'a': it is a hard link to 'b', which is not there"),
    "link to here": (link("a", "a"), "member 'a': it is a hard link to 'a', which is not there"),
    "link to root": (link("a", "/"), "member 'a': it is a hard link to '', which is a directory"),
    "unknown type": (member("v", type=b"V"), "member 'v': its type 'V' is not supported"),
    "negative owner": (member("f", uid=-1), "member 'f': -1 is no user or group"),
    "huge owner": (member("f", gid=2**32), "member 'f': 4294967296 is no user or group"),
    "nobody's owner": (member("f", gid=2**32 - 1), "member 'f': 4294967295 is no user or group"),
    "long attribute": (
        member("f", pax_headers={"SCHILY.xattr.user.a": "x" * 65537}),
        "member 'f': its attribute 'user.a' is longer than the kernel takes",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_member_is_refused_with_its_name(flat: Flatten, case: str) -> None:
    hostile, why = HOSTILE[case]
    form: Literal[1, 2] = tarfile.GNU_FORMAT if case == "negative owner" else tarfile.PAX_FORMAT
    assert refusal(flat, layer(hostile, form=form)) == why


def test_below_what_the_same_layer_says_is_no_directory(flat: Flatten) -> None:
    why = "member 'a/passwd': in the same layer, 'a' is no directory"
    assert refusal(flat, layer(symlink("a", "/etc"), member("a/passwd"))) == why
    assert refusal(flat, layer(folder("a")), layer(symlink("a", "/etc"), member("a/passwd"))) == why
    assert refusal(flat, layer(member("a"), member("a/passwd"))) == why


def test_a_link_to_a_directory(flat: Flatten) -> None:
    why = "member 'a': it is a hard link to 'd', which is a directory"
    assert refusal(flat, layer(folder("d"), link("a", "d"))) == why


def test_a_tree_that_claims_too_much(flat: Flatten) -> None:
    info = tarfile.TarInfo("bomb")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**41)}
    data = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(data)
    with pytest.raises(UserError, match=f"the files of the image claim {2**41} bytes"):
        flat(layer((info, data)))


# Broken archives


def broken(flat: Flatten, data: bytes) -> str:
    with pytest.raises(UserError, match=r"^layer sha256:") as caught:
        flat(data)
    assert caught.value.hint == "the image has to be built again"
    return caught.value.message.partition(": ")[2]


def test_a_broken_header_is_not_the_end(flat: Flatten) -> None:
    data = bytearray(layer(member("a", b"1"), member("b"), member("c")))
    data[1024] ^= 0xFF
    assert "it is no sound tar archive: bad checksum" in broken(flat, bytes(data))


@pytest.mark.parametrize("length", [100, 512, 600, 1024, 1100])
def test_a_truncated_archive(flat: Flatten, length: int) -> None:
    assert "it is no sound tar archive" in broken(flat, layer(member("a", bytes(2000)))[:length])


@pytest.mark.parametrize("data", [b"", b"PK\3\4" + bytes(600), b"\xfd7zXZ\0" + bytes(600)])
def test_what_is_no_archive(flat: Flatten, data: bytes) -> None:
    assert "it is no sound tar archive" in broken(flat, data)


def test_broken_compression(flat: Flatten) -> None:
    packed = gzip.compress(layer(member("a", random.Random(1).randbytes(100_000))))  # noqa: S311  the same each time
    for data in (packed[:-5], packed[: len(packed) // 2], packed[:-8] + bytes(8), packed + b"rubbish"):
        assert "cannot be decompressed" in broken(flat, data) or "no sound tar" in broken(flat, data)


def test_a_header_that_would_fill_the_memory(flat: Flatten) -> None:
    """Ten gigabytes of zeros in a header's body are ten megabytes of gzip."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 10 << 30
    assert "is longer than 1048576 bytes" in broken(flat, info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    info.type = tarfile.GNUTYPE_LONGNAME
    assert "is longer than 1048576 bytes" in broken(flat, info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


def test_headers_about_headers_without_end(flat: Flatten) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE
    assert broken(flat, info.tobuf(tarfile.GNU_FORMAT) * 5000)


def test_a_negative_size(flat: Flatten) -> None:
    assert broken(flat, layer(member("f", pax_headers={"size": "-1024"}), member("g")))
    info = tarfile.TarInfo("f")
    info.size = -1024
    assert broken(flat, info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e400"])
def test_a_time_that_is_no_number(flat: Flatten, mtime: str) -> None:
    assert broken(flat, layer(member("f", pax_headers={"mtime": mtime})))


@pytest.mark.parametrize("holes", ["-1,5", "5,-1", "10,1,5,1", "0,99999", "x"])
def test_a_broken_map_of_holes(flat: Flatten, holes: str) -> None:
    headers = {"GNU.sparse.map": holes, "GNU.sparse.size": "100", "GNU.sparse.numblocks": "1"}
    assert broken(flat, layer(member("f", b"12345", pax_headers=headers)))


def test_changed_bytes_never_do_worse_than_a_refusal(flat: Flatten) -> None:
    """Every accident in the headers ends as a tree or as a refusal, never as another exception."""
    chance = random.Random(7)  # noqa: S311  the same each time
    whole = layer(
        folder("d"),
        member("d/f", b"x" * 700, pax_headers={"SCHILY.xattr.user.a": "1"}),
        link("l", "d/f"),
        symlink("s", "y" * 150),
        member(
            "sparse",
            b"1\n0\n1\n".ljust(512, b"\0") + b"z" * 512,
            pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"},
        ),
    )
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice(b"\0\xff 0179=\n\x80")
        # With the checksums put right, the reader gets to see the rest of the header.
        for start in range(0, len(data), 512):
            if data[start + 257 : start + 262] == b"ustar":
                total = sum(data[start : start + 148]) + 256 + sum(data[start + 156 : start + 512])
                data[start + 148 : start + 156] = b"%06o\0 " % total
        try:
            flat(bytes(data))
        except UserError:
            continue


# Blobs


@pytest.mark.parametrize("content", [b"other", b"othe", b"data and more", b""])
def test_a_blob_must_be_what_its_digest_says(tmp_path: Path, content: bytes) -> None:
    (blob,) = blobs_of([b"data!"], tmp_path)
    blob.path.write_bytes(content)
    with pytest.raises(BrokenBlobError, match="the blob cache is damaged"), opened([blob]):
        pass


def test_a_layer_must_be_what_the_configuration_says(tmp_path: Path) -> None:
    (blob,) = blobs_of([gzip.compress(layer(member("f", b"good")))], tmp_path)
    wrong = replace(blob, diff_id=digest_of(b"other"))
    with opened([wrong]) as layers, pytest.raises(UserError) as caught:
        merge(layers)
    assert caught.value.message == (
        f"layer {blob.digest}: what is in it is not {digest_of(b'other')}, as the image's configuration says"
    )


def test_the_content_is_read_through_the_verified_descriptor(tmp_path: Path) -> None:
    (blob,) = blobs_of([layer(member("f", b"good"))], tmp_path)
    with opened([blob]) as (verified,):
        blob.path.unlink()
        blob.path.write_bytes(layer(member("f", b"evil")))
        with verified.stream() as stream:
            assert b"good" in stream.take(10_000)


def test_every_stream_starts_at_the_first_byte(tmp_path: Path) -> None:
    (blob,) = blobs_of([gzip.compress(layer(member("f", b"good")))], tmp_path)
    with opened([blob]) as (verified,):
        for _ in range(2):
            with verified.stream() as stream:
                stream.skip(512)
                assert stream.take(4) == b"good"
