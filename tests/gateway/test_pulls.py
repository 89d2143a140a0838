"""Pulls through the gateway: what its users see, alone and all at once, and when registries fail."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from gateway.people import Refused
from gateway.site import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_registry import FakeRegistry
    from gateway.gateways import Gateway

USERS = range(8000, 8020)


def outcome(images: int) -> Counter[str]:
    """What is in a store of so many images, by kind, besides layers."""
    return Counter({".squashfs": images, ".json": images})


def kinds(gateway: Gateway) -> Counter[str]:
    return Counter(f".{name.rpartition('.')[2]}" for name in gateway.files() if "images/" in name)


@pytest.fixture
def fake(gateway: Gateway) -> Iterator[FakeRegistry]:
    """A registry that says what the test wants."""
    registry = gateway.site.fake
    registry.answers.clear()
    registry.asked.clear()
    registry.put_image(b"\0" * 1024)
    yield registry
    if registry.delay:
        registry.delay.set()
    registry.delay = registry.claimed_length = None


def test_a_public_image_is_everybodys(gateway: Gateway) -> None:
    reference = gateway.site.push("tools:1")
    pull = gateway.call("pulled", "alice", reference)
    assert (pull["state"], pull["reason"]) == ("ready", "")
    (image,) = gateway.call("images", "bob")
    assert (image["digest"], image["names"], image["private"]) == (pull["digest"], [reference], False)
    assert gateway.call("lookup", "bob", reference) == gateway.call("lookup", 9999, f"id:{pull['digest']}")


def test_a_short_name_and_a_long_one_are_one_image(gateway: Gateway) -> None:
    reference = gateway.site.push("short:latest")
    gateway.call("pulled", "alice", reference.removesuffix(":latest").removeprefix("docker:"))
    assert gateway.call("lookup", "alice", reference)["names"] == [reference]


def test_progress_is_shown(gateway: Gateway) -> None:
    reference = gateway.site.push("slow:1", ("data", bytes(5 << 20)))
    with gateway.site.conversions_held():
        number = gateway.call("pull", "alice", reference)["id"]
        wait_for(lambda: gateway.call("pulls", "alice")[0]["state"] == "converting")
        (pull,) = gateway.call("pulls", "alice")
        assert (pull["id"], pull["layers"]) == (number, 1)
        assert pull["digest"].startswith("sha256:")
        assert 0 <= pull["done"] <= pull["total"] > 5 << 10


@pytest.mark.parametrize("via", ["unix", "tcp"])
def test_twenty_users_and_one_image(gateway: Gateway, via: str) -> None:
    reference = gateway.site.push(f"popular:{via}")
    before = len(gateway.site.runs())
    address = gateway.unix if via == "unix" else gateway.tcp
    pulls = [gateway.begin("pulled", user, reference, via=address) for user in USERS]
    digests = {gateway.end(pull)["digest"] for pull in pulls}
    assert len(digests) == 1
    assert len(gateway.site.runs()) == before + 1
    assert kinds(gateway) == outcome(1)


def test_twenty_users_and_different_images(gateway: Gateway) -> None:
    references = [gateway.site.push(f"many:{number}") for number in range(5)]
    before = len(gateway.site.runs())
    pulls = [gateway.begin("pulled", user, references[user % 5]) for user in USERS]
    digests = Counter(gateway.end(pull)["digest"] for pull in pulls)
    assert sorted(digests.values()) == [4] * 5
    assert len(gateway.site.runs()) == before + 5
    assert kinds(gateway) == outcome(5)


def test_two_names_of_one_image_are_converted_once(gateway: Gateway) -> None:
    reference = gateway.site.push("same:a")
    host, name = gateway.site.public, "same"
    digest = gateway.call("pulled", "carol", gateway.site.push("other:a"))["digest"]
    before = len(gateway.site.runs())
    again = f"docker:{host}/{name}@{_digest(reference)}"
    with gateway.site.conversions_held():
        pulls = [gateway.begin("pulled", user, text) for user, text in (("alice", reference), ("bob", again))]
        wait_for(lambda: len([one for one in gateway.call("pulls", "carol") if one["digest"] not in {"", digest}]) == 2)
    assert len({gateway.end(pull)["digest"] for pull in pulls}) == 1
    assert len(gateway.site.runs()) == before + 1


def _digest(reference: str) -> str:
    argv = [
        "skopeo",
        "inspect",
        "--tls-verify=false",
        "--format={{.Digest}}",
        f"docker://{reference.removeprefix('docker:')}",
    ]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_second_request_of_a_user_is_the_first(gateway: Gateway) -> None:
    reference = gateway.site.push("once:1")
    with gateway.site.conversions_held():
        first, second = (gateway.call("pull", "alice", reference) for _ in range(2))
        assert first["id"] == second["id"]
        assert gateway.call("pull", "bob", reference)["id"] != first["id"]


def test_a_missing_tag_fails_at_once_with_the_registrys_words(gateway: Gateway, fake: FakeRegistry) -> None:
    reference = str(fake.ref("team/app:2.0"))
    with pytest.raises(Refused) as caught:
        gateway.call("pulled", "alice", reference)
    assert str(caught.value).startswith(f"cannot pull {reference}: ")
    assert str(caught.value).endswith(": manifest unknown")
    assert (caught.value.kind, caught.value.hint) == ("UserError", "check the name and the tag")
    (pull,) = gateway.call("pulls", "alice")
    assert (pull["state"], pull["attempts"], pull["reason"]) == ("failed", 1, str(caught.value))


@pytest.mark.parametrize("gateway", ["attempts = 2\nretry_delay = 0"], indirect=True)
def test_a_registry_that_is_down_is_asked_again(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.answers["manifests/1.0"] = (503, "text/plain", b"")
    with pytest.raises(Refused, match="503") as caught:
        gateway.call("pulled", "alice", str(fake.ref()))
    assert caught.value.kind == "BusyError"
    (pull,) = gateway.call("pulls", "alice")
    assert (pull["state"], pull["attempts"]) == ("failed", 2)


@pytest.mark.parametrize("gateway", ["attempts = 9\nretry_delay = 0"], indirect=True)
def test_a_registry_that_comes_back_serves(gateway: Gateway, fake: FakeRegistry) -> None:
    good = fake.answers.pop("manifests/1.0")
    fake.answers["manifests/1.0"] = (503, "text/plain", b"")
    pulled = gateway.begin("pulled", "alice", str(fake.ref()))
    wait_for(lambda: any(pull["attempts"] for pull in gateway.call("pulls", "alice")))
    fake.answers["manifests/1.0"] = good
    assert gateway.end(pulled)["state"] == "ready"


@pytest.mark.parametrize("gateway", ["attempts = 2\nretry_delay = 0"], indirect=True)
def test_a_registry_that_dies_in_the_middle_leaves_nothing(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.claimed_length = 1 << 20
    with pytest.raises(Refused, match="cannot pull"):
        gateway.call("pulled", "alice", str(fake.ref()))
    assert not kinds(gateway) - Counter({".failed": 1})
    fake.claimed_length = None
    assert gateway.call("pulled", "alice", str(fake.ref()))["state"] == "ready"
    assert kinds(gateway) == outcome(1)


@pytest.mark.parametrize("gateway", ["attempts = 1"], indirect=True)
def test_a_job_that_waits_finds_the_reason_in_the_store(gateway: Gateway, fake: FakeRegistry) -> None:
    digest = fake.put_image(b"\0" * 1024)["digest"]
    for name in [name for name in fake.answers if name.startswith("blobs/")][:1]:
        fake.answers[name] = (200, "application/octet-stream", b"something else")
    with pytest.raises(Refused) as caught:
        gateway.call("pulled", "alice", str(fake.ref()))
    note = gateway.store / "images" / f"{digest.replace(':', '-')}.failed"
    assert str(caught.value) in note.read_text()


@pytest.mark.parametrize("gateway", ["most_pulls = 2\nworkers = 1"], indirect=True)
def test_nobody_fills_the_queue(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.delay = threading.Event()
    for tag in ("1", "2"):
        gateway.call("pull", "alice", str(fake.ref(f"team/app:{tag}")))
    with pytest.raises(Refused, match="you have 2 unfinished pulls already") as caught:
        gateway.call("pull", "alice", str(fake.ref("team/app:3")))
    assert caught.value.kind == "BusyError"
    assert gateway.call("pull", "bob", str(fake.ref("team/app:3")))["state"] == "pending"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("id:sha256:" + "0" * 64, "names no registry to pull from"),
        ("docker:", "--image: the name is empty"),
        ("docker:UPPER", "--image: this is no image name"),
    ],
)
def test_what_is_no_image_is_refused_at_once(gateway: Gateway, reference: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        gateway.call("pull", "alice", reference)


def test_a_pull_that_waits_can_be_given_up(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.delay = threading.Event()
    for tag in ("1", "2"):  # as many as there are workers
        gateway.call("pull", "bob", str(fake.ref(f"team/app:{tag}")))
    number = gateway.call("pull", "alice", str(fake.ref("team/app:3")))["id"]
    gateway.call("cancel", "alice", number)
    (pull,) = gateway.call("pulls", "alice")
    assert (pull["state"], pull["reason"]) == ("failed", "the pull was cancelled")


def test_without_a_gateway_the_client_says_what_to_do(gateway: Gateway) -> None:
    with pytest.raises(Refused) as caught:
        gateway.call("images", "alice", via=f"unix:{gateway.base}/nowhere")
    assert caught.value.kind == "BusyError"
    assert str(caught.value).startswith("the image gateway does not answer (unix:")
    assert caught.value.hint == "try again later; images that are in the store can be used meanwhile"
