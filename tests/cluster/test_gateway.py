"""Jobs whose image nobody has pulled, and jobs with private images: through a gateway on the login node."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.configuration import configured

from sandbox import cluster as sandbox_cluster
from sandbox import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster
    from sandbox.command import Completed

PROGRAM = "/opt/spank-container/bin/spank-container"
SHIFTERIMG = "/opt/spank-container/bin/shifterimg"
PRIVATE = "registry.sandbox:5001"
SOCKET = "/run/spank-container-gateway/socket"
START = f"""
mkdir -p /run/spank-container-gateway /var/lib/spank-container-gateway
chown 7650 /run/spank-container-gateway /var/lib/spank-container-gateway
chown -R 7650 /shared/spank-container
setsid -f setpriv --reuid 7650 --regid 7650 --clear-groups env HOME=/var/lib/spank-container-gateway \
    {PROGRAM} gateway serve > /var/log/gateway.log 2>&1 < /dev/null
for try in $(seq 200); do [ ! -S {SOCKET} ] || exit 0; sleep 0.05; done
cat /var/log/gateway.log
exit 1
"""
STOP = "pkill -TERM -f 'gateway serve' && while pgrep -f 'gateway serve' > /dev/null; do sleep 0.05; done"
CONFIG = f'\n[gateway]\naddresses = ["unix:{SOCKET}"]\nretry_delay = 1\nattempts = 2\n'
ACCOUNT = "echo 'spank-container:x:7650:7650::/nonexistent:/usr/sbin/nologin' >> /etc/passwd"


@pytest.fixture(scope="module")
def gateway(site: Cluster) -> Iterator[Cluster]:
    login = site.members["login"]
    login.sh(f"grep -q spank-container: /etc/passwd || {ACCOUNT}")
    with configured([login], lambda text: text + CONFIG):
        login.sh(START)
        yield site
        login.sh(STOP)
    login.sh("chown -R root: /shared/spank-container; rm -rf /shared/spank-container/private")
    site.run("rm -rf ~/.config", user="alice")
    assert_nothing_left(site)


def copy(cluster: Cluster, name: str) -> str:
    """Another name, in the open registry, for the small image; nobody has pulled it."""
    done = cluster.run(["skopeo", "copy", "--quiet", "docker://busybox", f"docker://registry.sandbox:5000/{name}"])
    assert done.returncode == 0, done.stderr
    return f"docker:registry.sandbox:5000/{name}"


@pytest.fixture
def fresh(gateway: Cluster, request: pytest.FixtureRequest) -> str:
    """An image of its own for the test: the small one, with a label."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    layout = f"/shared/layout-{name}"
    script = f"""
    set -e
    skopeo copy --quiet docker://busybox oci:{layout}:1
    umoci config --image {layout}:1 --config.label name={name}
    skopeo copy --quiet oci:{layout}:1 docker://registry.sandbox:5000/team/{name}:1
    rm -r {layout}
    """
    done = gateway.run(script, user="root")
    assert done.returncode == 0, done.stderr
    return f"docker:registry.sandbox:5000/team/{name}:1"


def stderr(done: Completed) -> list[str]:
    return done.stderr.splitlines()
