"""Private images: whose they are, who else may use them, and that nobody else learns of them."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gateway.people import Refused
from gateway.site import ACCOUNTS, SCIENCE, wait_for

from spank_container.images.store import Store
from spank_container.values.access import Access
from spank_container.values.image_ref import parse_digest

if TYPE_CHECKING:
    from gateway.gateways import Gateway

ALICES, BOBS = ("alice", "secret of alice"), ("bob", "secret of bob")


@pytest.fixture
def reference(gateway: Gateway, request: pytest.FixtureRequest) -> str:
    return gateway.site.push(f"secret/{request.node.originalname.replace('_', '-').strip('-')}:1", private=True)


def access(gateway: Gateway, digest: str) -> Access | None:
    """What a Prolog will read."""
    return Store(gateway.store).private.meta(parse_digest(digest)).access


def sees(gateway: Gateway, user: str | int) -> set[str]:
    return {image["digest"] for image in gateway.call("images", user)}


def test_it_is_its_pullers_alone(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    (image,) = gateway.call("images", "alice")
    assert (image["private"], image["owner"], image["users"], image["groups"]) == (True, ACCOUNTS["alice"], [], [])
    assert access(gateway, digest) == Access(ACCOUNTS["alice"])
    assert sees(gateway, "bob") == set()
    assert sees(gateway, "carol") == {digest}  # an admin


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("lookup", ["id:{digest}"]),
        ("share", ["{digest}"]),
        ("remove", ["{digest}"]),
        ("used", ["{digest}", "docker:debian"]),
    ],
)
def test_others_read_that_there_is_none(gateway: Gateway, reference: str, call: str, arguments: list[str]) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    absent = "sha256:" + "0" * 64
    said = []
    for one in (digest, absent):
        with pytest.raises(Refused) as caught:
            gateway.call(call, "bob", *(argument.format(digest=one) for argument in arguments))
        said.append((str(caught.value).replace(one, "X"), caught.value.hint.replace(one, "X"), caught.value.kind))
    assert said[0] == said[1]
    assert said[0][0] == "the image id:X is not in the store"
    assert sees(gateway, "alice") == {digest}


def test_its_name_is_not_known_either(gateway: Gateway, reference: str) -> None:
    gateway.call("pulled", "alice", reference, login=ALICES)
    with pytest.raises(Refused) as caught:
        gateway.call("lookup", "bob", reference)
    assert str(caught.value) == f"the image {reference} is not in the store"
    assert caught.value.hint == f"spank-container pull {reference}"


def test_without_a_login_the_registry_says_no(gateway: Gateway, reference: str) -> None:
    gateway.call("pulled", "alice", reference, login=ALICES)
    for login in (None, ("bob", "a guess")):
        with pytest.raises(Refused, match=r"unauthorized|authentication required") as caught:
            gateway.call("pulled", "bob", reference, **({"login": login} if login else {}))
        assert caught.value.kind == "UserError"
    assert sees(gateway, "bob") == set()


def test_whom_the_puller_lets_in(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES, users=["bob", "8001"], groups=["science"])[
        "digest"
    ]
    assert access(gateway, digest) == Access(ACCOUNTS["alice"], (ACCOUNTS["bob"], 8001), (SCIENCE,))
    assert sees(gateway, "bob") == sees(gateway, 8001) == {digest}
    assert sees(gateway, 8002) == set()
    with pytest.raises(Refused, match="only those who could pull a private image themselves let others in"):
        gateway.call("share", "bob", digest, users=["8002"])
    with pytest.raises(Refused, match="is not yours alone to remove"):
        gateway.call("remove", "bob", digest)


def test_a_group_lets_its_members_in(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES, groups=["science"])["digest"]
    assert sees(gateway, "bob") == {digest}
    assert sees(gateway, 8001) == set()


def test_another_pull_changes_whom_the_puller_lets_in(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES, users=["bob"])["digest"]
    gateway.call("pulled", "alice", reference, login=ALICES, users=["8001"])
    assert (sees(gateway, "bob"), sees(gateway, 8001)) == (set(), {digest})
    gateway.call("share", "alice", digest, users=["bob"])
    assert (sees(gateway, "bob"), sees(gateway, 8001)) == ({digest}, set())


def test_whoever_the_registry_lets_in_is_in(gateway: Gateway, reference: str) -> None:
    runs = len(gateway.site.runs())
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    gateway.call("pulled", "bob", reference, login=BOBS, users=["8001"])
    assert len(gateway.site.runs()) == runs + 1
    gateway.call("share", "alice", digest)  # takes nothing from bob, nor from whom he lets in
    assert sees(gateway, "bob") == sees(gateway, 8001) == {digest}
    assert access(gateway, digest) == Access(ACCOUNTS["alice"], (ACCOUNTS["bob"], 8001))
    with pytest.raises(Refused, match="is not yours alone to remove"):
        gateway.call("remove", "bob", digest)


def test_together_each_is_judged_alone(gateway: Gateway, reference: str) -> None:
    with gateway.site.conversions_held():
        other = gateway.begin("pulled", "carol", gateway.site.push("public:1"))
        wait_for(lambda: len(gateway.call("pulls", "carol")) == 1)
        pulls = [
            gateway.begin("pulled", "alice", reference, login=ALICES),
            gateway.begin("pulled", "bob", reference, login=BOBS),
            gateway.begin("pulled", 8001, reference),
        ]
        wait_for(lambda: len(gateway.call("pulls", "carol")) == 4)
    gateway.end(other)
    first, second = gateway.end(pulls[0]), gateway.end(pulls[1])
    assert first["digest"] == second["digest"]
    with pytest.raises(Refused, match=r"unauthorized|authentication required"):
        gateway.end(pulls[2])
    assert sees(gateway, "bob") >= {first["digest"]}
    assert first["digest"] not in sees(gateway, 8001)


def test_an_unknown_name_is_an_error_at_once(gateway: Gateway, reference: str) -> None:
    with pytest.raises(Refused, match="there is no user 'mallory'"):
        gateway.call("pull", "alice", reference, users=["mallory"], login=ALICES)
    with pytest.raises(Refused, match="there is no group 'wizards'"):
        gateway.call("pull", "alice", reference, groups=["wizards"], login=ALICES)


def test_a_login_does_not_make_an_image_private(gateway: Gateway) -> None:
    digest = gateway.call("pulled", "alice", gateway.site.push("open:1"), login=ALICES, users=["bob"])["digest"]
    assert sees(gateway, 8001) == {digest}


@pytest.mark.parametrize("gateway", ['logins = "/etc/containers/logins.json"'], indirect=True)
def test_what_the_sites_login_opens_is_everybodys(gateway: Gateway, reference: str) -> None:
    logins = {"auths": {gateway.site.private: {"auth": base64.b64encode(":".join(BOBS).encode()).decode()}}}
    write = ["sh", "-c", "umask 077; cat > /etc/containers/logins.json; chown gate /etc/containers/logins.json"]
    subprocess.run(gateway.site.argv(write, "root"), input=json.dumps(logins), text=True, check=True)
    digest = gateway.call("pulled", "alice", reference)["digest"]
    assert sees(gateway, 8001) == {digest}


def test_nobody_finds_it_in_the_store(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    find = gateway.site.argv(["sh", "-c", f"find {gateway.store}; cat {gateway.store}/private/images/*.json"], "bob")
    done = subprocess.run(find, capture_output=True, text=True, check=False)
    assert digest.partition(":")[2] not in done.stdout
    assert "secret" not in done.stdout
    assert (gateway.store / "private").stat().st_mode & 0o777 == 0o700
    assert not list((gateway.store / "private").glob("blobs/*"))
    assert not list((gateway.store / "blobs").rglob("*/*"))


@pytest.mark.parametrize("gateway", ["attempts = 1"], indirect=True)
def test_to_know_the_manifest_is_not_to_have_the_image(gateway: Gateway, reference: str) -> None:
    """A registry of bob's own serves what he saw of alice's image: its manifest and its configuration."""
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    fake = gateway.site.fake
    fake.answers.clear()
    config = json.loads(fetched(reference, "--raw"))["config"]["digest"]
    media_type = "application/vnd.oci.image.manifest.v1+json"
    for name in ("1.0", digest):
        fake.answers[f"manifests/{name}"] = (200, media_type, fetched(reference, "--raw"))
    fake.answers[f"blobs/{config}"] = (200, "application/octet-stream", fetched(reference, "--raw", "--config"))
    with pytest.raises(Refused, match="cannot pull"):
        gateway.call("pulled", "bob", str(fake.ref()))
    assert sees(gateway, "bob") == set()
    assert access(gateway, digest) == Access(ACCOUNTS["alice"])


def fetched(reference: str, *options: str) -> bytes:
    name = f"docker://{reference.removeprefix('docker:')}"
    argv = ["skopeo", "inspect", "--tls-verify=false", "--creds=alice:secret of alice", *options, name]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def test_the_password_is_nowhere(gateway: Gateway, reference: str) -> None:
    with gateway.site.conversions_held():
        for address in (gateway.unix, gateway.tcp):
            gateway.call("pull", "alice", reference, login=ALICES, via=address)
        wait_for(lambda: gateway.call("pulls", "alice")[0]["state"] == "converting")
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                if process.stat().st_uid == ACCOUNTS["gate"]:
                    assert b"secret of" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    gateway.call("pulled", "alice", reference, login=ALICES)
    for file in gateway.base.rglob("*"):
        if file.is_file():
            assert b"secret of" not in file.read_bytes(), file


def test_its_owner_removes_it(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES, users=["bob"])["digest"]
    gateway.call("remove", "alice", digest)
    assert sees(gateway, "alice") == sees(gateway, "carol") == set()
    squashfs = Store(gateway.store).private.squashfs(parse_digest(digest))
    assert squashfs.exists()  # for jobs that have it mounted
    runs = len(gateway.site.runs())
    gateway.call("pulled", "bob", reference, login=BOBS)
    assert len(gateway.site.runs()) == runs  # the file was still there
    assert access(gateway, digest) == Access(ACCOUNTS["bob"])
    assert sees(gateway, "alice") == set()


def test_the_store_survives_a_lost_database(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES, users=["8001"])["digest"]
    gateway.kill()
    for file in (gateway.base / "state").glob("gateway.sqlite*"):
        file.unlink()
    gateway.start()
    assert sees(gateway, "alice") == sees(gateway, 8001) == {digest}
    gateway.call("pulled", "bob", reference, login=BOBS)
    assert access(gateway, digest) == Access(ACCOUNTS["alice"], (ACCOUNTS["bob"], 8001))


def test_uses_are_counted(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    before = time.time()
    for _ in range(2):
        gateway.call("used", "alice", digest, reference)
    (use,) = gateway.call("usage", "alice")
    assert (use["digest"], use["reference"], use["uid"], use["count"]) == (digest, reference, ACCOUNTS["alice"], 2)
    assert before <= use["last"] <= time.time()
    assert gateway.call("usage", "bob") == []
    assert len(gateway.call("usage", "carol")) == 1


def test_prometheus_reads_no_names(gateway: Gateway, reference: str) -> None:
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    gateway.call("used", "alice", digest, reference)
    text = gateway.open_page("/metrics")
    assert 'spank_container_gateway_pulls_total{result="ready"} 1\n' in text
    assert 'spank_container_gateway_images{kind="private"} 1\n' in text
    assert "spank_container_gateway_uses 1\n" in text
    assert "secret" not in text
    assert json.dumps(digest) not in text
