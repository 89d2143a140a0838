"""Images that stay mounted between jobs, and that are mounted from a copy on the node's own disk."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kernel.miniature import Node, in_container, isolated

from spank_container import lifecycle
from spank_container.executor.image_mounts import mounted_images, unmount_idle
from spank_container.kernel import mounts

pytestmark = pytest.mark.kernel


def configure(node: Node, **images: Any) -> None:  # noqa: ANN401  # settings of all kinds
    node.config = replace(node.config, images=replace(node.config.images, **images))


def mounted(node: Node, image: str) -> bool:
    return mounts.is_mount_point(str(node.state.images / node.images[image].replace(":", "-")))


@isolated
def test_an_image_waits_for_the_next_job(node: Node) -> None:
    configure(node, keep_mounted=3600)
    first, second = node.environment(7), node.environment(8)
    node.prolog(first)
    node.epilog(first)
    assert mounted(node, "one")
    (kept,) = mounted_images(node.state)
    assert kept.jobs == ()
    assert 3500 < kept.until - time.time() <= 3600
    assert in_container(node.prolog(second), "cat /etc/name") == "one"
    assert mounted_images(node.state)[0].jobs == ("8",)
    node.epilog(second)
    unmount_idle(node.state, at_once=True)
    node.wait_until_clean()


@isolated
@pytest.mark.parametrize("who", ["epilog", "sweep"])
def test_whoever_comes_by_takes_away_what_waited_too_long(node: Node, who: str) -> None:
    configure(node, keep_mounted=1)
    node.prolog(node.environment(7))
    node.prolog(node.environment(8, image="two"))
    node.epilog(node.environment(7))
    assert mounted(node, "one")
    os.utime(node.state.images / f"{node.images['one'].replace(':', '-')}.leases", (1, 1))
    if who == "epilog":
        node.epilog(node.environment(8, image="two"))
    else:
        lifecycle.sweep(node.state, lambda: [8])
    assert not mounted(node, "one")
    assert mounted(node, "two")  # in use, or not yet due


@isolated
def test_jobs_read_the_node_s_copy(node: Node) -> None:
    cache = node.path / "cache"
    configure(node, node_cache=str(cache), node_cache_size="1G")
    environment = node.environment(7)
    assert in_container(node.prolog(environment), "cat /etc/name") == "one"
    copy = cache / f"{node.images['one'].replace(':', '-')}.squashfs"
    backing = [file.read_text().strip() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert str(copy) in backing
    copy.unlink()  # another image needs the room: the job that runs does not notice
    assert in_container(node.state.job(7), "cat /etc/name; ls /bin | wc -l").startswith("one")
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_a_copy_that_cannot_be_made_stops_no_job(node: Node) -> None:
    configure(node, node_cache="/proc/nothing", node_cache_size="1G")
    environment = node.environment(7)
    assert in_container(node.prolog(environment), "cat /etc/name") == "one"
    node.epilog(environment)
    node.wait_until_clean()
