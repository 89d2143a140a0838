"""A Prolog whose image is still being pulled waits for the file in the store; the pull itself is tests/gateway's."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace

import pytest
from kernel.miniature import Node, in_container, isolated

from spank_container.images.removal import note_failure
from spank_container.images.store import Store

pytestmark = pytest.mark.kernel


def awaiting(node: Node, seconds: int = 30) -> tuple[Store, dict[str, str]]:
    """A store of the node's own without the image `one`, and the environment of a job that waits for it."""
    store = Store(node.path / "own")
    shutil.copytree(node.path / "store", store.root)
    for kind in ("json", "squashfs"):
        path = store.beside(node.images["one"], kind)
        path.rename(path.with_suffix(f".{kind}-kept"))
    node.config = replace(node.config, images=replace(node.config.images, store=str(store.root), pull_timeout=seconds))
    environment = node.environment()
    request = json.loads(environment["SPANK_CONTAINER_REQUEST"]) | {"pulling": True}
    return store, environment | {"SPANK_CONTAINER_REQUEST": json.dumps(request)}


def arrive(store: Store, node: Node) -> None:
    """As a pull ends: the file first, its description after it."""
    time.sleep(0.6)
    for kind in ("squashfs", "json"):
        path = store.beside(node.images["one"], kind)
        path.with_suffix(f".{kind}-kept").rename(path)


@isolated
def test_the_job_starts_when_its_image_comes(node: Node) -> None:
    store, environment = awaiting(node)
    pull = threading.Thread(target=arrive, args=(store, node))
    pull.start()
    directory = node.prolog(environment)
    pull.join()
    assert in_container(directory, "cat /etc/name") == "one"
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_a_pull_that_fails_fails_the_job_with_its_reason(node: Node) -> None:
    store, environment = awaiting(node)
    note_failure(store, node.images["one"], "cannot pull docker:x: manifest unknown")
    directory = node.prolog(environment)
    assert (directory.path / "failed").read_text() == (
        "cannot pull docker:x: manifest unknown\nhint: submit again when that is mended\n"
    )


@isolated
def test_a_pull_that_takes_too_long_fails_the_job(node: Node) -> None:
    _, environment = awaiting(node, 1)
    directory = node.prolog(environment)
    assert (directory.path / "failed").read_text() == (
        "the image docker:docker.io/library/test:latest did not come within 1 s\n"
        "hint: it may still be pulled: see spank-container images, and submit again\n"
    )


@isolated
def test_an_image_that_nobody_pulls_is_not_waited_for(node: Node) -> None:
    _, environment = awaiting(node)
    request = json.loads(environment["SPANK_CONTAINER_REQUEST"])
    del request["pulling"]
    directory = node.prolog(environment | {"SPANK_CONTAINER_REQUEST": json.dumps(request)})
    assert "is not in the store" in (directory.path / "failed").read_text()
