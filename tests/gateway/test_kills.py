"""SIGKILL at every state: no request is lost, no image converted twice, no file broken."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gateway.people import Refused
from gateway.site import ACCOUNTS, wait_for

if TYPE_CHECKING:
    from gateway.gateways import Gateway

ALICES = ("alice", "secret of alice")


def whole(gateway: Gateway, digests: set[str]) -> None:
    """The store has these images and nothing else, and each can be read to the end."""
    names = {digest.replace(":", "-") for digest in digests}
    expected = {f"images/{name}.{kind}" for name in names for kind in ("squashfs", "json")}
    assert {file for file in gateway.files() if file.startswith("images/")} == expected
    for name in names:
        check = ["unsquashfs", "-quiet", "-no-progress", "-cat", str(gateway.store / f"images/{name}.squashfs"), "data"]
        assert len(subprocess.run(check, check=True, capture_output=True).stdout) == 100_000


def state_of(gateway: Gateway, user: str | int = "alice") -> str:
    pulls = gateway.call("pulls", user)
    return str(pulls[0]["state"]) if pulls else ""


def processes() -> dict[int, str]:
    """Of the gateway's account; a dead one that nobody waited for is none."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if folder.stat().st_uid == ACCOUNTS["gate"]:
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
    return {pid: words for pid, words in found.items() if words}


def data(seed: int) -> tuple[str, bytes]:
    return "data", random.Random(seed).randbytes(100_000)  # noqa: S311  # the same each time


@pytest.mark.parametrize("gateway", ["workers = 1"], indirect=True)
def test_while_it_is_pending(gateway: Gateway) -> None:
    references = [gateway.site.push(f"pending:{number}", data(number)) for number in (1, 2)]
    with gateway.site.conversions_held():
        first, second = (gateway.begin("pulled", "alice", reference) for reference in references)
        wait_for(lambda: len(gateway.call("pulls", "alice")) == 2)
        assert "pending" in {pull["state"] for pull in gateway.call("pulls", "alice")}
        gateway.kill()
    gateway.start()
    whole(gateway, {gateway.end(pull)["digest"] for pull in (first, second)})


def test_while_it_is_pulling(gateway: Gateway) -> None:
    fake = gateway.site.fake
    fake.answers.clear()
    reference = gateway.site.push("pulling:1", data(3))
    fake.delay = threading.Event()
    try:
        held, waiting = (gateway.begin("pull", "alice", str(fake.ref())) for _ in range(2))
        gateway.end(held), gateway.end(waiting)
        wait_for(lambda: state_of(gateway) == "pulling")
        gateway.kill()
        (gateway.base / "store").mkdir(exist_ok=True)
        gateway.start()
        assert state_of(gateway) in {"pending", "pulling"}
    finally:
        fake.delay.set()
        fake.delay = None
    digest = gateway.call("pulled", "alice", reference)["digest"]
    whole(gateway, {digest})


def test_while_it_is_converting(gateway: Gateway) -> None:
    reference = gateway.site.push("converting:1", data(4))
    with gateway.site.conversions_held():
        pulls = [gateway.begin("pulled", user, reference) for user in ("alice", "bob", 8001)]
        wait_for(lambda: len(gateway.call("pulls", "carol")) == 3)
        wait_for(lambda: "converting" in {pull["state"] for pull in gateway.call("pulls", "carol")})
        gateway.kill()
        wait_for(lambda: not processes())  # what it started dies with it, though it could not say so
        assert not {file for file in gateway.files() if file.endswith((".json", ".squashfs")) and file[0] != "."} & {
            file for file in gateway.files() if file.startswith("images/sha256")
        }
    begun = len(gateway.site.runs())
    gateway.start()
    whole(gateway, {gateway.end(pull)["digest"] for pull in pulls})
    assert len(gateway.site.runs()) == begun + 1


def test_when_it_is_ready_nothing_is_done_again(gateway: Gateway) -> None:
    reference = gateway.site.push("ready:1", data(5))
    digest = gateway.call("pulled", "alice", reference)["digest"]
    runs = len(gateway.site.runs())
    gateway.kill()
    gateway.start()
    assert state_of(gateway) == "ready"
    assert gateway.call("lookup", "alice", reference)["digest"] == digest
    whole(gateway, {digest})
    assert len(gateway.site.runs()) == runs


def test_when_it_has_failed_the_reason_stays(gateway: Gateway) -> None:
    reference = f"docker:{gateway.site.public}/absent:1"
    number = gateway.call("pull", "alice", reference)["id"]
    wait_for(lambda: state_of(gateway) == "failed")
    gateway.kill()
    gateway.start()
    (pull,) = gateway.call("pulls", "alice")
    assert (pull["id"], pull["state"]) == (number, "failed")
    assert pull["reason"].startswith(f"cannot pull {reference}: ")


def test_at_random_times(gateway: Gateway) -> None:
    chance = random.Random(7)  # noqa: S311  # the same each time
    references = [gateway.site.push(f"random:{number}", data(10 + number)) for number in range(4)]
    pulls = [gateway.begin("pulled", user, references[user % 4]) for user in range(8000, 8012)]
    wait_for(lambda: len(gateway.call("pulls", "carol")) == len(pulls))
    for _ in range(6):
        time.sleep(chance.uniform(0.05, 0.8))
        gateway.kill()
        gateway.start()
    digests = Counter(gateway.end(pull)["digest"] for pull in pulls)
    assert sorted(digests.values()) == [3] * 4
    whole(gateway, set(digests))


def test_a_login_is_asked_for_again(gateway: Gateway) -> None:
    reference = gateway.site.push("mine:1", data(30), private=True)
    with gateway.site.conversions_held():
        waiting = gateway.begin("pulled", "alice", reference, login=ALICES)
        gateway.end(gateway.begin("pull", "bob", reference, login=("bob", "secret of bob")))
        wait_for(lambda: state_of(gateway) == "converting")
        gateway.kill()
    gateway.start()
    assert gateway.end(waiting)["state"] == "ready"
    wait_for(lambda: state_of(gateway, "bob") == "failed")
    (pull,) = gateway.call("pulls", "bob")
    assert pull["who"] == "login"
    assert pull["reason"].endswith("; the gateway was restarted, and keeps no passwords")
    assert pull["hint"] == "pull it again, with the same login"
    assert [image["names"] for image in gateway.call("images", "alice")] == [[reference]]
    assert gateway.call("images", "bob") == []


@pytest.mark.parametrize("victim", ["spank_container.gateway.worker", "mksquashfs"])
@pytest.mark.parametrize("gateway", ["retry_delay = 0"], indirect=True)
def test_a_worker_that_dies_is_replaced(gateway: Gateway, victim: str) -> None:
    reference = gateway.site.push(f"worker:{victim[:3]}", data(40))
    with gateway.site.conversions_held():
        pull = gateway.begin("pulled", "alice", reference)
        wait_for(lambda: state_of(gateway) == "converting")
        wait_for(lambda: any(victim in words for words in processes().values()))
        for pid in [pid for pid, words in processes().items() if victim in words]:
            os.kill(pid, signal.SIGKILL)
        if victim == "mksquashfs":
            wait_for(lambda: state_of(gateway) == "failed")
    if victim == "mksquashfs":  # the worker lives, and says what went wrong
        assert "was killed by signal 9" in gateway.call("pulls", "alice")[0]["reason"]
        with pytest.raises(Refused, match="was killed by signal 9"):
            gateway.end(pull)
        gateway.call("pulled", "alice", reference)
    else:
        assert gateway.end(pull)["attempts"] == 2
    whole(gateway, {gateway.call("lookup", "alice", reference)["digest"]})


def test_it_ends_in_order_too(gateway: Gateway) -> None:
    reference = gateway.site.push("orderly:1", data(50))
    with gateway.site.conversions_held():
        pull = gateway.begin("pulled", "alice", reference)
        wait_for(lambda: state_of(gateway) == "converting")
        gateway.kill(signal.SIGTERM)
        assert not processes()
        assert not (gateway.base / "run/socket").exists()
    gateway.start()
    whole(gateway, {gateway.end(pull)["digest"]})


def test_there_is_one_gateway(gateway: Gateway) -> None:
    second = subprocess.run(gateway.argv(), capture_output=True, text=True, timeout=30, check=False)
    assert (second.returncode, second.stdout) == (75, "")
    assert second.stderr == (
        f"spank-container: a gateway is running already [{gateway.base}/state]\nhint: stop that one first\n"
    )
    assert gateway.call("images", "alice") == []


def test_it_does_not_run_as_root(gateway: Gateway) -> None:
    done = subprocess.run(gateway.argv("root"), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (
        64,
        "spank-container: the gateway does not run as root\nhint: run it as gate: see the unit\n",
    )
