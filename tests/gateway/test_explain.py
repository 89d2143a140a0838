"""`explain` at a site with a gateway: it asks for nothing to be pulled, and says what it cannot know."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.gateways import Gateway

ALICES = ("alice", "secret of alice")


def explain(gateway: Gateway, user: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = gateway.site.argv([sys.executable, "-I", "-m", "spank_container", "explain", *options], user)
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def explained(gateway: Gateway, user: str, *options: str) -> dict[str, Any]:
    done = explain(gateway, user, "--json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_image_that_is_not_here_is_not_pulled(gateway: Gateway) -> None:
    reference = gateway.site.push("explained/absent:1")
    done = explain(gateway, "alice", f"--image={reference}")
    assert (done.stdout, done.returncode) == ("", 64)
    assert done.stderr == (
        f"spank-container: {reference} is not in the store; sbatch would have it pulled\n"
        f"hint: spank-container pull {reference}, and ask again\n"
    )
    assert gateway.call("pulls", "alice") == []


@pytest.mark.parametrize("private", [False, True])
def test_no_use_is_counted(gateway: Gateway, private: bool) -> None:  # noqa: FBT001  # pytest's
    reference = gateway.site.push(f"explained/used-{private}:1".lower(), private=private)
    gateway.call("pulled", "alice", reference, login=ALICES if private else None)
    explained(gateway, "alice", f"--image={reference}")
    assert gateway.call("usage", "alice") == []


def test_a_private_image_as_far_as_its_user_can_know(gateway: Gateway) -> None:
    reference = gateway.site.push("explained/private:1", private=True)
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    found = explained(gateway, "alice", f"--image={reference}", "--image-env=A=1", "--image-workdir")
    assert digest in found["about"]
    assert found["about"].endswith(
        "\nThe image is private: its own variables, working directory and entrypoint are not among this."
    )
    assert {"name": "A", "value": "1", "why": "--image-env"} in found["variables"]
    assert not any("the image" in one["why"] for one in found["variables"])
    assert found["workdir"] == ""
    assert f"/private/images/{digest.replace(':', '-')}.squashfs" in found["node"][0]


def test_a_private_image_of_others_is_not_there(gateway: Gateway) -> None:
    reference = gateway.site.push("explained/others:1", private=True)
    digest = gateway.call("pulled", "alice", reference, login=ALICES)["digest"]
    done = explain(gateway, "bob", f"--image=id:{digest}")
    assert done.returncode == 64
    assert done.stdout == ""
    assert "is not in the store" in done.stderr
