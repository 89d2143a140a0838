"""The cluster's network: a bridge in a network namespace of its own and a cable from it to each node.

Nothing of it exists in the machine's own network, so no address can clash, and it dies with the processes that hold it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.command import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.node import Node

LOGIN_ADDRESS = "10.73.0.1"


def address_of(name: str) -> str:
    """login is 10.73.0.1, the node with number N is 10.73.1.N."""
    return LOGIN_ADDRESS if name == "login" else f"10.73.1.{name.removeprefix('n')}"


def connect(switch: Node, nodes: Sequence[Node]) -> None:
    """Cable every node to the bridge in `switch`, which is made here too."""
    lines = ["link add bridge type bridge", "link set bridge up"]
    for node in nodes:
        lines.append(f"link add {node.name} type veth peer name eth0 netns {node.pid}")
        lines.append(f"link set {node.name} master bridge up")
    _ip(switch.pid, lines)
    for node in nodes:
        address = f"address add {address_of(node.name)}/16 dev eth0"
        _ip(node.pid, [address, "link set eth0 up", "link set lo up"])


def _ip(pid: int, lines: Sequence[str]) -> None:
    run(["nsenter", "--target", str(pid), "--net", "ip", "-batch", "-"], stdin="\n".join(lines))
