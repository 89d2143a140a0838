"""The image gateway on the cluster's login node: set up as the how-to tells administrators, and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

SOCKET = "/run/spank-container-gateway/socket"
TABLE = """
[gateway]
listen = ["unix:{socket}", "0.0.0.0:8650"]
addresses = ["unix:{socket}", "login:8650"]
"""
ACCOUNT = """
id spank-container > /dev/null 2>&1 || useradd --system --uid 990 --home-dir /nonexistent --shell /usr/sbin/nologin spank-container
cp /etc/spank-container/config.toml /etc/spank-container/config.toml.plain
cat >> /etc/spank-container/config.toml
"""
START = f"""
chown -R spank-container: /shared/spank-container
install -d -o spank-container -g spank-container /run/spank-container-gateway
install -d -o spank-container -g spank-container -m 700 /var/lib/spank-container-gateway
setsid -f setpriv --reuid spank-container --regid spank-container --clear-groups --no-new-privs \
    /opt/spank-container/bin/spank-container gateway serve < /dev/null > /var/log/gateway.log 2>&1
for try in $(seq 200); do
    [ ! -S {SOCKET} ] || exit 0
    sleep 0.05
done
cat /var/log/gateway.log
exit 1
"""
STOP = """
pkill --uid spank-container || true
while pgrep --uid spank-container > /dev/null; do sleep 0.05; done
chown -R root: /shared/spank-container
"""
PLAIN = "mv /etc/spank-container/config.toml.plain /etc/spank-container/config.toml"


def start(cluster: Cluster) -> None:
    """Users then pull images themselves, from every node."""
    for node in cluster.members.values():
        node.sh(ACCOUNT, stdin=TABLE.format(socket=SOCKET))
    cluster.members["login"].sh(START)


def stop(cluster: Cluster) -> None:
    """The site is as it was, and what was pulled stays."""
    cluster.members["login"].sh(STOP)
    for node in cluster.members.values():
        node.sh(PLAIN)
