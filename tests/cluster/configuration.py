"""Another site configuration for a while, on some nodes of the cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandbox.node import Node

CONFIG = "/etc/spank-container/config.toml"


@contextlib.contextmanager
def configured(nodes: Iterable[Node], change: Callable[[str], str]) -> Iterator[None]:
    """With another configuration on these nodes; running jobs keep what they have."""
    before = {node: node.sh(f"cat {CONFIG}") for node in nodes}
    try:
        for node, text in before.items():
            node.sh(f"cat > {CONFIG} <<'END'\n{change(text)}\nEND")
        yield
    finally:
        for node, text in before.items():
            node.sh(f"cat > {CONFIG} <<'END'\n{text}\nEND")
