"""The registries of the cluster: Debian's docker-registry on the login node, with TLS.

registry.sandbox:5000 is open and is what every node's skopeo takes for Docker Hub; registry.sandbox:5001 wants a user
and a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.command import run
from sandbox.network import LOGIN_ADDRESS
from sandbox.site_files import certificates

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.node import Node

PRIVATE = "registry.sandbox:5001"
PRIVATE_USER = "alice"
PRIVATE_PASSWORD = "wonderland"  # noqa: S105  it protects nothing but a test

START = f"""
mkdir -m 700 /run/registry
cat > /run/registry/both.pem
sed -n '/BEGIN CERT/,/END CERT/p' /run/registry/both.pem > /run/registry/registry.crt
sed -n '/BEGIN PRIVATE/,/END PRIVATE/p' /run/registry/both.pem > /run/registry/registry.key
htpasswd -nbB {PRIVATE_USER} {PRIVATE_PASSWORD} > /run/registry/htpasswd
for kind in open private; do
    setsid -f docker-registry serve /etc/docker/registry/$kind.yml < /dev/null > /var/log/registry-$kind.log 2>&1
done
"""
ANSWERS = """
for port in 5000 5001; do
    for try in $(seq 100); do
        ! bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2> /dev/null || continue 2
        sleep 0.05
    done
    cat /var/log/registry-*.log
    exit 1
done
"""


def start(login: Node) -> None:
    """Start both registries; `wait` waits until they answer."""
    folder = certificates()
    both = (folder / "registry.crt").read_text() + (folder / "registry.key").read_text()
    login.sh(START, stdin=both)


def wait(login: Node) -> None:
    """Return when both registries take connections."""
    login.sh(ANSWERS)


def push(login: Node, layout: Path, name: str) -> None:
    """Push the OCI layout `layout` as `name` (library/debian:trixie) with this machine's skopeo."""
    target = f"docker://{LOGIN_ADDRESS}:5000/{name}"
    trust = certificates() / "trust"
    copy = ("skopeo", "copy", "--quiet", "--dest-cert-dir", str(trust), f"oci:{layout}", target)
    run(["nsenter", "--target", str(login.pid), "--net", *copy])
