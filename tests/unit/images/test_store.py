"""The store: what a reader sees after any crash, and who is at fault when an image is not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from spank_container.errors import NodeError, SiteError, UserError
from spank_container.images.store import Store
from spank_container.values.image_format import ImageFormat
from spank_container.values.image_meta import Findings, ImageMeta, Libc, MpiLibrary
from spank_container.values.image_ref import Digest, ImageId, ImportedRef, RegistryRef, parse_image_ref

DIGEST = Digest("sha256:" + "a" * 64)
OTHER = Digest("sha256:" + "b" * 64)
META = ImageMeta(
    digest=DIGEST,
    architecture="amd64",
    size=0,
    environment=("PATH=/bin", "ODD=\udcff\n"),
    entrypoint=("/bin/sh", "-c"),
    cmd=("true",),
    workdir="/work",
    user="1000:1000",
    labels=(("a", "b"), ("c", "")),
    passwd="root:x:0:0::/root:/bin/sh\n",  # noqa: S106  a file, not a password
    group="root:x:0:\n",
    volumes=("/data",),
    findings=Findings(Libc("glibc", "2.41"), (MpiLibrary("/lib/libmpi.so.40", "libmpi.so.40"),), ("/bin/sh",)),
)


def ref(text: str) -> RegistryRef | ImportedRef:
    parsed = parse_image_ref(text)
    assert not isinstance(parsed, ImageId)
    return parsed


def convert(path: Path, content: bytes = b"squashfs", meta: ImageMeta = META) -> ImageMeta:
    path.write_bytes(content)
    return meta


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_added_image_is_read_back(store: Store) -> None:
    meta = store.add(DIGEST, convert)
    assert meta == store.meta(DIGEST)
    assert meta.size == len(b"squashfs")
    assert meta.environment == META.environment
    assert meta.labels == META.labels
    assert meta.findings == META.findings
    assert store.squashfs(DIGEST).read_bytes() == b"squashfs"
    assert names(store.images) == [f"sha256-{'a' * 64}.json", f"sha256-{'a' * 64}.squashfs"]


def test_an_image_of_the_first_version_is_read(store: Store) -> None:
    store.add(DIGEST, convert)
    path = store.images / f"sha256-{'a' * 64}.json"
    found = json.loads(path.read_text())
    del found["volumes"], found["findings"]
    path.write_text(json.dumps(found | {"version": 1}))
    assert store.meta(DIGEST) == replace(META, size=len(b"squashfs"), volumes=(), findings=Findings())


def test_every_user_may_read_whatever_the_umask(store: Store) -> None:
    old = os.umask(0o077)
    try:
        store.add(DIGEST, convert)
        store.tag(ref("docker:debian:trixie"), DIGEST)
    finally:
        os.umask(old)
    for path in store.root.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_a_tag_resolves_and_moves(store: Store) -> None:
    store.add(DIGEST, convert)
    store.add(OTHER, convert)
    debian = ref("debian:trixie")
    store.tag(debian, DIGEST)
    assert store.resolve(debian) == DIGEST
    store.tag(debian, OTHER)
    assert store.resolve(debian) == OTHER


def test_a_tag_means_an_image_for_each_architecture(store: Store) -> None:
    arm = replace(store, wanted=ImageFormat("arm64"))
    for one, digest in ((store, DIGEST), (arm, OTHER)):
        one.add(digest, convert)
        for text in ("debian:trixie", "custom:mine:1"):
            one.tag(ref(text), digest)
    assert (store.resolve(ref("debian:trixie")), arm.resolve(ref("debian:trixie"))) == (DIGEST, OTHER)
    names = ("custom:mine:1", "docker:docker.io/library/debian:trixie")
    assert [image.names for image in store.list()] == [names, names]


def test_a_tag_and_a_repository_of_one_name(store: Store) -> None:
    store.add(DIGEST, convert)
    for text in ("docker:r.example/a:b", "docker:r.example/a/b:c", "docker:r.example/a@" + OTHER):
        store.tag(ref(text), DIGEST)
        assert store.resolve(ref(text)) == DIGEST
    (image,) = store.list()
    assert image.names == ("docker:r.example/a/b:c", "docker:r.example/a:b", "docker:r.example/a@" + OTHER)


def test_an_imported_image_has_a_name_that_no_registry_has(store: Store) -> None:
    store.add(DIGEST, convert)
    store.tag(ref("custom:a/b:c"), DIGEST)
    assert store.resolve(ref("custom:a/b:c")) == DIGEST
    assert [image.names for image in store.list()] == [("custom:a/b:c",)]
    with pytest.raises(UserError):
        store.resolve(ref("docker:a/b:c"))


def test_the_longest_names_fit(store: Store) -> None:
    store.add(DIGEST, convert)
    longest = RegistryRef("r.example:5000", "a" * 255, "t" * 128)
    store.tag(longest, DIGEST)
    assert store.resolve(longest) == DIGEST


def test_a_digest_of_what_came_under_a_tag(store: Store) -> None:
    store.add(DIGEST, convert)
    assert store.resolve(ref(f"docker:debian@{DIGEST}")) == DIGEST
    assert store.resolve(ImageId(DIGEST)) == DIGEST


def test_an_absent_image_is_the_users(store: Store) -> None:
    with pytest.raises(UserError) as caught:
        store.resolve(ref("debian:nope"))
    assert caught.value.message == "the image docker:docker.io/library/debian:nope is not in the store"
    assert caught.value.hint == "spank-container pull docker:docker.io/library/debian:nope"
    with pytest.raises(UserError, match="is not in the store"):
        store.meta(DIGEST)


def test_a_tag_whose_image_is_gone(store: Store) -> None:
    store.tag(ref("debian"), DIGEST)
    with pytest.raises(UserError, match="is not in the store"):
        store.resolve(ref("debian"))


def test_a_store_that_is_not_mounted_is_the_sites(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    for look in (
        lambda: store.resolve(ref("debian")),
        lambda: store.meta(DIGEST),
        lambda: store.resolve(ImageId(OTHER)),
    ):
        with pytest.raises(SiteError, match="there is no image store at"):
            look()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d | {"version": 3}, "version 2"),
        (lambda d: d | {"extra": 1}, "wrong keys: extra"),
        (lambda d: {k: v for k, v in d.items() if k != "cmd"}, "wrong keys: cmd"),
        (lambda d: d | {"size": "1"}, "size is no size"),
        (lambda d: d | {"size": True}, "size is no size"),
        (lambda d: d | {"cmd": "true"}, "cmd is no list of texts"),
        (lambda d: d | {"cmd": [1]}, "cmd is no list of texts"),
        (lambda d: d | {"labels": [["a"]]}, "labels is no list of pairs"),
        (lambda d: d | {"labels": {}}, "labels is no list of pairs"),
        (lambda d: d | {"passwd": None}, "passwd is no text"),
        (lambda d: d | {"volumes": [1]}, "volumes is no list of texts"),
        (lambda d: d | {"findings": {}}, "an object has not the keys libc, mpi, interpreters"),
        (lambda d: d | {"findings": d["findings"] | {"libc": 1}}, "an object has not the keys name, version"),
        (lambda d: d | {"findings": d["findings"] | {"mpi": 1}}, "mpi is no list of libraries"),
        (lambda d: d | {"findings": d["findings"] | {"mpi": ["x"]}}, "an object has not the keys path, soname"),
        (lambda d: d | {"digest": "sha256:../../x"}, "no digest"),
        (lambda d: d | {"digest": OTHER}, f"it describes {OTHER}"),
        (lambda d: [d], "version 2"),
    ],
)
def test_a_broken_description_is_the_sites(store: Store, change, reason: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    store.add(DIGEST, convert)
    path = store.images / f"sha256-{'a' * 64}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(SiteError, match="the image store is broken") as caught:
        store.meta(DIGEST)
    assert reason in caught.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b" " * (9 << 20)])
def test_rubbish_is_no_description(store: Store, data: bytes) -> None:
    store.add(DIGEST, convert)
    (store.images / f"sha256-{'a' * 64}.json").write_bytes(data)
    with pytest.raises(SiteError, match="the image store is broken"):
        store.meta(DIGEST)


@pytest.mark.parametrize("data", ["", "sha256:../../../etc/passwd", "md5:" + "a" * 32, "x" * 1000])
def test_a_broken_tag_is_the_sites(store: Store, data: str) -> None:
    store.tag(ref("debian"), DIGEST)
    (pointer,) = [path for path in store.tags.rglob("*") if path.is_file()]
    pointer.write_text(data)
    with pytest.raises(SiteError, match="the image store is broken"):
        store.resolve(ref("debian"))


def test_a_failed_conversion_leaves_nothing(store: Store) -> None:
    def fail(path: Path) -> ImageMeta:
        path.write_bytes(b"half")
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        store.add(DIGEST, fail)
    assert names(store.images) == []


def test_a_full_disk_is_the_nodes(store: Store) -> None:
    def fail(path: Path) -> ImageMeta:
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(NodeError, match="writing the image store: No space left on device"):
        store.add(DIGEST, fail)


def test_foreign_files_are_left_alone(store: Store) -> None:
    store.images.mkdir()
    for name in ("README.squashfs", ".x.partial", "notes.json"):
        (store.images / name).write_text("mine")
    store.add(DIGEST, convert)
    assert {"README.squashfs", ".x.partial", "notes.json"} <= set(names(store.images))
    assert [image.meta.digest for image in store.list()] == [DIGEST]


def test_many_ask_and_one_converts(store: Store) -> None:
    conversions = []

    def slow(path: Path) -> ImageMeta:
        conversions.append(path)
        time.sleep(0.05)
        return convert(path)

    threads = [threading.Thread(target=store.add, args=(DIGEST, slow)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1
    assert names(store.images) == [f"sha256-{'a' * 64}.json", f"sha256-{'a' * 64}.squashfs"]


# Every call that changes the store counts; the writer is killed at the n-th.
WRITER = """
import fcntl, os, signal, sys
from pathlib import Path
from spank_container.images.store import Store
from spank_container.values.image_format import ImageFormat
from spank_container.values.image_meta import Findings, ImageMeta, Libc, MpiLibrary
from spank_container.values.image_ref import Digest, RegistryRef

left = int(sys.argv[2])

def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

for name in ("mkdir", "chmod", "rename", "fsync", "unlink", "open", "fchmod"):
    setattr(os, name, deadly(getattr(os, name)))
fcntl.flock = deadly(fcntl.flock)

def convert(path):
    path.write_bytes(b"squashfs")
    return ImageMeta(Digest("sha256:" + "a" * 64), "amd64", 0)

store = Store(Path(sys.argv[1]))
store.add(Digest("sha256:" + "a" * 64), convert)
store.tag(RegistryRef("docker.io", "library/debian", "latest"), Digest("sha256:" + "a" * 64))
"""


def test_killed_at_any_step(tmp_path: Path) -> None:
    """A reader sees no image or the whole of it, and the next writer leaves nothing of the dead one."""
    for step in range(1, 200):
        store = Store(tmp_path / str(step))
        store.root.mkdir()
        done = subprocess.run([sys.executable, "-c", WRITER, store.root, str(step)], check=False)
        if store.has(DIGEST):
            assert store.meta(DIGEST).size == len(store.squashfs(DIGEST).read_bytes())
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        store.add(OTHER, convert)
        store.add(DIGEST, convert)
        store.tag(ref("debian"), DIGEST)
        assert store.resolve(ref("debian")) == DIGEST
        assert not [path for path in store.root.rglob(".*") if not path.name.endswith(".lock")]
    else:
        pytest.fail("the writer never came to its end")
    assert step > 20


def test_importing_the_store_is_cheap() -> None:
    """The Prolog imports it: no pydantic, no tarfile, no subprocess."""
    code = "import sys; import spank_container.images.store; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(Path.cwd())!r}); {code}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not {"pydantic", "tarfile", "subprocess", "tempfile", "hashlib", "shutil"} & set(loaded)
