"""Where a cluster is written down, and the lock that serialises its making and unmaking.

The processes are the truth and this only says what they were started for: see `node.holders`. Clusters with different
names know nothing of each other; the tests have one of their own, so that a developer's stays up beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cache import locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

NAME = os.environ.get("SPANK_CONTAINER_SANDBOX", "default")
CLUSTERS = Path("/run/spank-container-sandbox")
STATE = CLUSTERS / NAME
DESCRIPTION = STATE / "cluster.json"


@dataclass(frozen=True, slots=True)
class Description:
    """What a cluster was asked to be."""

    slurm: str
    nodes: tuple[str, ...]
    data: str
    checkout: str


def changing() -> AbstractContextManager[None]:
    """Hold this while a cluster is started or stopped. The lock file stays: removing it would race."""
    return locked(Path(f"/run/lock/spank-container-sandbox.{NAME}"))


def write(description: Description) -> None:
    """Written before anything is started, so that whatever was started is found again after a crash."""
    STATE.mkdir(parents=True, exist_ok=True)
    DESCRIPTION.write_text(json.dumps(asdict(description)))


def read() -> Description | None:
    """The cluster that was started last and not stopped, whether or not it still lives."""
    try:
        fields = json.loads(DESCRIPTION.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    fields["nodes"] = tuple(fields["nodes"])
    return Description(**fields)


def forget() -> None:
    """There is no cluster of this name any more."""
    shutil.rmtree(STATE, ignore_errors=True)
    with contextlib.suppress(OSError):  # another cluster's is in there, or it is gone already
        CLUSTERS.rmdir()
