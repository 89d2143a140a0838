"""What skopeo brings from registries that lie, fail and die, and who gets to hear of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fake_registry import DOCKER, OCI, Document, FakeRegistry, need, serving
from tar_layers import digest_of, folder, layer, member

from spank_container.errors import BusyError, SiteError, UserError
from spank_container.images import documents, registry
from spank_container.images.layers import BrokenBlobError
from spank_container.images.pull import pull
from spank_container.images.registry import Registry
from spank_container.images.store import Store
from spank_container.run import FIXED_ENVIRONMENT
from spank_container.values.image_format import ImageFormat
from spank_container.values.image_ref import Digest, RegistryRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = layer(folder("etc"), member("etc/passwd", b"root:x:0:0::/:\n"), member("etc/gone"))
UPPER = layer(member("etc/group", b"root:x:0:\n"), member("etc/.wh.gone"))


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeRegistry]:
    need("skopeo", "mksquashfs")
    with serving(tmp_path / "home") as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


def refusal(fake: FakeRegistry, store: Store) -> str:
    """Why the image cannot be pulled; nothing of it may be in the store but blobs."""
    with pytest.raises(UserError) as caught:
        pull(fake.ref(), store, registry=fake.registry())
    start = f"cannot pull {fake.ref()}: "
    assert caught.value.message.startswith(start)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    left = [path for path in store.root.rglob("*") if path.is_file() and store.blobs not in path.parents]
    assert left == []
    return caught.value.message.removeprefix(start)


def test_an_image_comes_into_the_store(fake: FakeRegistry, store: Store) -> None:
    descriptor = fake.put_image(BASE, UPPER)
    seen: list[tuple[str, int, int]] = []
    meta = pull(fake.ref(), store, lambda *step: seen.append(step), fake.registry())
    assert meta.digest == descriptor["digest"] == store.resolve(fake.ref())
    assert (meta.architecture, meta.environment, meta.cmd) == ("amd64", ("PATH=/bin", "A=1"), ("true",))
    assert (meta.user, meta.labels, meta.entrypoint, meta.workdir) == ("7", (("b", "2"),), (), "")
    assert (meta.passwd, meta.group) == ("root:x:0:0::/:\n", "root:x:0:\n")
    assert meta.size == store.squashfs(meta.digest).stat().st_size
    for stage in ("downloading", "converting"):
        done, total = [step[1:] for step in seen if step[0] == stage][-1]
        assert done == total > 0
    assert sorted(path.name for path in store.blobs.iterdir()) == [".lock", "sha256"]


def test_the_same_image_is_the_same_file(fake: FakeRegistry, tmp_path: Path) -> None:
    """But for the time of the root, which mksquashfs before 4.6 takes from the clock."""
    fake.put_image(BASE, UPPER)
    files = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        files.append(store.squashfs(pull(fake.ref(), store, registry=fake.registry()).digest))
    said = subprocess.run(["mksquashfs", "-version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    assert version
    if (int(version[1]), int(version[2])) >= (4, 6):
        assert files[0].read_bytes() == files[1].read_bytes()
    listings = [subprocess.run(["unsquashfs", "-lln", file], capture_output=True, check=True).stdout for file in files]
    first, second = (listing.partition(b"squashfs-root\n")[2] for listing in listings)
    assert first == second != b""


def test_what_is_there_is_not_fetched_again(fake: FakeRegistry, store: Store) -> None:
    fake.put_image(BASE)
    pull(fake.ref(), store, registry=fake.registry())
    fake.put_image(BASE, tag="2.0")
    fake.put_image(BASE, UPPER, tag="3.0")
    fake.asked.clear()
    pull(fake.ref("team/app:2.0"), store, registry=fake.registry())
    assert not [path for path in fake.asked if "/blobs/" in path]
    pull(fake.ref("other/app:3.0"), store, registry=fake.registry())
    fetched = [path.rpartition("/")[2] for path in fake.asked if "/blobs/" in path]
    assert digest_of(gzip.compress(UPPER, mtime=0)) in fetched
    assert digest_of(gzip.compress(BASE, mtime=0)) not in fetched
    names = [image.names for image in store.list()]
    assert sorted(len(found) for found in names) == [1, 2]


def test_a_tag_that_moved(fake: FakeRegistry, store: Store) -> None:
    fake.put_image(BASE)
    old = pull(fake.ref(), store, registry=fake.registry()).digest
    fake.put_image(BASE, UPPER)
    new = pull(fake.ref(), store, registry=fake.registry()).digest
    assert store.resolve(fake.ref()) == new != old
    assert store.meta(old).digest == old


def test_dockers_own_format(fake: FakeRegistry, store: Store) -> None:
    plain = fake.put("blobs", UPPER, f"{DOCKER}.image.rootfs.diff.tar")
    config = {"architecture": "amd64", "os": "linux", "config": None, "rootfs": {"diff_ids": [digest_of(UPPER)]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{DOCKER}.distribution.manifest.v2+json",
        "config": fake.put("blobs", config, f"{DOCKER}.container.image.v1+json"),
        "layers": [plain],
    }
    descriptor = fake.put("manifests", manifest, str(manifest["mediaType"]), tag="1.0")
    meta = pull(fake.ref(), store, registry=fake.registry())
    assert meta.digest == descriptor["digest"]
    assert (meta.environment, meta.user, meta.group) == ((), "", "root:x:0:\n")


def test_the_architecture_is_chosen_from_an_index(fake: FakeRegistry, store: Store) -> None:
    def platform(architecture: str, variant: str = "", os: str = "linux") -> Document:
        image = fake.put_image(BASE, tag="", config={"architecture": architecture, "variant": variant, "os": os})
        return image | {"platform": {"architecture": architecture, "variant": variant, "os": os}}

    index = fake.put_index(
        platform("amd64", os="windows"),
        platform("unknown", os="unknown"),
        platform("amd64", "v3"),
        wanted := platform("amd64"),
        arm := platform("arm64", "v8"),
    )
    assert pull(fake.ref(), store, registry=fake.registry()).digest == wanted["digest"]
    assert pull(fake.ref(), store, registry=fake.registry("arm64")).digest == arm["digest"]
    pinned = RegistryRef(fake.ref().registry, "team/app", "", Digest(str(index["digest"])))
    assert pull(pinned, store, registry=fake.registry()).digest == wanted["digest"] == store.resolve(pinned)
    with pytest.raises(UserError, match="it is not there for linux/s390x, only for linux/amd64, linux/arm64, unk"):
        pull(fake.ref(), store, registry=fake.registry("s390x"))


def test_what_a_site_wants_is_made(fake: FakeRegistry, tmp_path: Path) -> None:
    """Two sites' architectures in one store, each by the same name, and the squashfs as it was asked for."""
    images = [
        fake.put_image(BASE, tag="", config={"architecture": name})
        | {"platform": {"architecture": name, "os": "linux"}}
        for name in ("amd64", "arm64")
    ]
    fake.put_index(*images)
    environment = fake.registry().environment
    for wanted, image in zip((ImageFormat("amd64"), ImageFormat("arm64", 7, 4096)), images, strict=True):
        store = Store(tmp_path / "store", wanted=wanted)
        meta = pull(fake.ref(), store, registry=Registry.asking_for(wanted, environment))
        assert (meta.digest, meta.architecture) == (image["digest"], wanted.architecture)
        assert store.resolve(fake.ref()) == image["digest"]
        said = subprocess.run(["unsquashfs", "-stat", store.squashfs(meta.digest)], capture_output=True, check=True)
        assert f"Block size {wanted.block_size}\n".encode() in said.stdout
        assert f"compression-level {wanted.compression_level}\n".encode() in said.stdout


# Documents that are wrong


def test_a_document_that_is_index_and_manifest(fake: FakeRegistry, store: Store) -> None:
    """CVE-2021-41190."""
    fake.put_image(BASE, manifests=[])
    assert refusal(fake, store) == "its manifest says that it is an index too"
    fake.put_index(layers=[])
    assert refusal(fake, store) == "its manifest says that it is an index too"


def test_a_media_type_that_contradicts_the_document(fake: FakeRegistry, store: Store) -> None:
    fake.put_image(BASE, mediaType=f"{OCI}.index.v1+json")
    assert refusal(fake, store) == "its manifest is of the unknown type 'application/vnd.oci.image.index.v1+json'"


def test_an_index_in_an_index(fake: FakeRegistry, store: Store) -> None:
    fake.put_index(fake.put_index(tag="") | {"platform": {"architecture": "amd64", "os": "linux"}})
    assert refusal(fake, store) == "its index lists another index"


def test_an_index_without_platforms(fake: FakeRegistry, store: Store) -> None:
    fake.put_index(fake.put_image(BASE, tag=""))
    assert refusal(fake, store) == "it is not there for linux/amd64, only for nothing"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no JSON", "its manifest is no JSON object"),
        (b"[]", "its manifest is no JSON object"),
        (b"[" * 100_000, "its manifest is no JSON object"),
        (b'{"mediaType": ["x"]}', "its manifest is of the unknown type ['x']"),
        (b"{}", "its manifest is broken: schemaVersion: Field required"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "its manifest is broken: schemaVersion: Input should be 2"),
        (b" " * (5 << 20), "exceeded maximum allowed size of 4194304 bytes"),
    ],
    ids=["text", "list", "deep", "type", "empty", "old", "long"],
)
def test_what_is_no_manifest(fake: FakeRegistry, store: Store, data: bytes, why: str) -> None:
    fake.put("manifests", data, f"{OCI}.manifest.v1+json", tag="1.0")
    assert why in refusal(fake, store)


@pytest.mark.parametrize("digest", ["md5:" + "0" * 32, "sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "", "x"])
def test_digests_that_are_none(fake: FakeRegistry, store: Store, digest: str) -> None:
    """CVE-2022-39237, CVE-2024-3727."""
    why = "this is no digest"
    fake.put_image(BASE, layers=[{"mediaType": f"{OCI}.layer.v1.tar", "digest": digest, "size": 1}])
    assert why in refusal(fake, store)
    platform = {"architecture": "amd64", "os": "linux"}
    fake.put_index({"mediaType": f"{OCI}.manifest.v1+json", "digest": digest, "size": 1, "platform": platform})
    assert why in refusal(fake, store)


def test_layers_of_unknown_types(fake: FakeRegistry, store: Store) -> None:
    for media_type in (f"{OCI}.layer.v1.tar+gzip+encrypted", f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip", "x" * 500):
        fake.put_image(BASE, layers=[fake.put("blobs", BASE, media_type)])
        assert "is of the unknown type '" in refusal(fake, store)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"architecture": "arm64"}, "it is for linux/arm64, not for linux/amd64"),
        ({"os": "windows"}, "it is for windows/amd64, not for linux/amd64"),
        ({"rootfs": {"diff_ids": []}}, "its configuration and its manifest do not have the same number of layers"),
        (
            {"config": {"Env": ["A=1\0B=2"]}},
            "its configuration is broken: config.Env.0: Value error, it has a NUL in it",
        ),
        ({"config": {"Env": "A=1"}}, "its configuration is broken: config.Env: Input should be a valid array"),
        ({"config": {"Cmd": [1]}}, "its configuration is broken: config.Cmd.0: Input should be a valid string"),
        ({"config": {"Labels": {"a": "x" * (2 << 20)}}}, "its configuration has "),
    ],
)
def test_configurations_that_are_wrong(fake: FakeRegistry, store: Store, config: dict[str, Any], why: str) -> None:
    fake.put_image(BASE, config=config)
    assert why in refusal(fake, store)


def test_the_blobs_that_no_pull_used_for_longest_go(fake: FakeRegistry, store: Store) -> None:
    fake.put_image(BASE, UPPER)
    pull(fake.ref(), store, registry=fake.registry(), blob_limit=0)
    assert list(store.blobs.glob("sha256/*")) == []
    fake.put_image(BASE, layer(member("other")))
    pull(fake.ref(), store, registry=fake.registry(), blob_limit=1 << 20)
    assert store.blob(Digest(digest_of(gzip.compress(BASE, mtime=0)))).exists()


def test_a_hostile_layer_names_the_image(fake: FakeRegistry, store: Store) -> None:
    hostile = layer(member("../x"))
    fake.put_image(hostile)
    assert re.fullmatch(r"layer sha256:\w+: member '../x': '..' leads out of its folder", refusal(fake, store))


# Registries that lie and die


def test_another_manifest_than_its_digest_says(fake: FakeRegistry, store: Store) -> None:
    good = fake.put_image(BASE, tag="")
    fake.put_index(good | {"platform": {"architecture": "amd64", "os": "linux"}})
    fake.answers[f"manifests/{good['digest']}"] = (200, f"{OCI}.manifest.v1+json", json.dumps({"config": 1}).encode())
    with pytest.raises((BusyError, UserError), match="cannot pull"):
        pull(fake.ref(), store, registry=fake.registry())
    assert not store.has(Digest(good["digest"]))


def test_skopeo_is_not_believed(fake: FakeRegistry) -> None:
    """Whatever it hands over has the digest that was asked for, or is refused."""
    ref = fake.ref()
    with pytest.raises(BusyError, match="this is something else than sha256:00000"):
        documents.verify(f"pull {ref}", b"data", Digest("sha256:" + "0" * 64))
    documents.verify(f"pull {ref}", b"data", Digest("sha512:" + hashlib.sha512(b"data").hexdigest()))


def test_a_corrupted_layer(fake: FakeRegistry, store: Store) -> None:
    fake.put_image(BASE)
    for name in [name for name in fake.answers if name.startswith("blobs/")]:
        status, media_type, data = fake.answers[name]
        if "gzip" in media_type:
            fake.answers[name] = (status, media_type, data[:-9] + b"x" + data[-8:])
    assert "igest" in refusal(fake, store)
    fake.put_image(BASE)
    pull(fake.ref(), store, registry=fake.registry())


def test_a_registry_that_dies_in_the_middle_of_a_layer(fake: FakeRegistry, store: Store) -> None:
    descriptor = fake.put_image(BASE)
    fake.claimed_length = 100_000
    with pytest.raises((BusyError, UserError), match="cannot pull"):
        pull(fake.ref(), store, registry=fake.registry())
    assert not store.has(Digest(descriptor["digest"]))
    fake.claimed_length = None
    assert pull(fake.ref(), store, registry=fake.registry()).digest == descriptor["digest"]


def test_a_damaged_blob_cache_heals(fake: FakeRegistry, store: Store) -> None:
    descriptor = fake.put_image(BASE, UPPER)
    image = fake.registry().find(fake.ref())
    blob = store.blob(Digest(image.manifest.layers[0].digest))
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x" * image.manifest.layers[0].size)
    with pytest.raises(BrokenBlobError, match="the blob cache is damaged"):
        pull(fake.ref(), store, registry=fake.registry())
    assert pull(fake.ref(), store, registry=fake.registry()).digest == descriptor["digest"]


def test_an_absent_image(fake: FakeRegistry, store: Store) -> None:
    assert refusal(fake, store).endswith("manifest unknown")
    with pytest.raises(UserError) as caught:
        pull(fake.ref(), store, registry=fake.registry())
    assert caught.value.hint == "check the name and the tag"


@pytest.mark.parametrize("status", [401, 403])
def test_a_private_image(fake: FakeRegistry, store: Store, status: int) -> None:
    fake.put_image(BASE)
    fake.answers["manifests/1.0"] = (status, "application/json", b'{"errors": [{"code": "DENIED", "message": "no"}]}')
    with pytest.raises(UserError, match="cannot pull") as caught:
        pull(fake.ref(), store, registry=fake.registry())
    assert f"spank-container login {fake.ref().registry}" in caught.value.hint


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_in_trouble(fake: FakeRegistry, store: Store, status: int) -> None:
    fake.answers["manifests/1.0"] = (status, "text/plain", b"trouble")
    # skopeo waits long and tries again where it is told 429
    with pytest.raises(BusyError, match="cannot pull"):
        pull(fake.ref(), store, registry=replace(fake.registry(), answer_time=2))


def test_no_registry_at_all(fake: FakeRegistry, store: Store) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ref = RegistryRef(f"127.0.0.1:{free.getsockname()[1]}", "app", "1")
        with pytest.raises(BusyError, match="connection refused"):
            pull(ref, store, registry=fake.registry())


def test_a_registry_that_never_answers(fake: FakeRegistry, store: Store) -> None:
    fake.delay = threading.Event()
    try:
        with pytest.raises(BusyError, match=r"127.0.0.1:\d+ did not answer within 0.5 s"):
            pull(fake.ref(), store, registry=replace(fake.registry(), answer_time=0.5))
    finally:
        fake.delay.set()


def test_no_policy_is_the_sites() -> None:
    said = 'time="x" level=fatal msg="Error loading trust policy: open /etc/containers/policy.json: no such file"'
    assert isinstance(registry.explained("pull it", said, denied="", again=""), SiteError)


def test_the_environment_that_skopeo_sees() -> None:
    given = {"HTTPS_PROXY": "p", "REGISTRY_AUTH_FILE": "a", "LD_PRELOAD": "x", "PATH": "/evil", "HOME": "/home/a"}
    seen = registry.passed_environment(given)
    assert seen == dict(FIXED_ENVIRONMENT) | {"HTTPS_PROXY": "p", "REGISTRY_AUTH_FILE": "a", "HOME": "/home/a"}
