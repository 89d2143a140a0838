"""What all rows share: the hostile registry with all its images tried, and the look at what is left afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_nothing_left
from cluster.output import sections
from security import hostile_images, hostile_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

PULL = """
for name in {names}; do
    echo "== $name"
    timeout 60 /opt/spank-container/bin/spank-container pull docker:{registry}/$name:1.0 2>&1
    echo "status $?"
done
"""


@pytest.fixture(scope="session")
def hostile(site: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What root's `pull` says of each hostile image; those that are refused are not in the store."""
    images = hostile_images.put_all(tmp_path_factory.mktemp("hostile"))
    hostile_registry.start(site.members["login"], images)
    names = [name for name in images if name not in hostile_images.PULLED_LATER]
    done = site.run(PULL.format(names=" ".join(names), registry=hostile_registry.NAME), user="root")
    return sections(done.stdout)


@pytest.fixture(scope="module")
def clean_afterwards(site: Cluster) -> Iterator[None]:
    """Whatever was tried: nothing is left on any node, and none was taken out of service."""
    yield
    assert_nothing_left(site)
