"""What a node tells the scheduler that it has, as node features: jobs choose nodes with --constraint.

`spank_container`, and an `image_HEX` for each image that is mounted or copied there. Features of the site's are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SpankContainerError
from spank_container.slurm.command import ask_slurm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROGRAM = "spank_container"
_OURS = re.compile(r"spank_container|image_[0-9a-f]{12}", re.ASCII)
_HINT = "is slurmctld up, and may this account change nodes? try scontrol ping"


def image_feature(digest: str) -> str:
    """sha256:ab12... or sha256-ab12... -> image_ab12, with twelve digits: Slurm's constraints have no room for 64."""
    return f"image_{re.split('[:-]', digest)[1][:12]}"


def advertise(node: str, images: Iterable[str]) -> None:
    """Let the features of `node` say that it has us, and images with these digests. Raises BusyError if Slurm refuses."""
    ours = [PROGRAM, *sorted({image_feature(digest) for digest in images})]
    try:
        available, active = parse_features(ask_slurm(["scontrol", "--oneliner", "show", "node", node]))
        # Of all that can be had, active are only some where a plugin can reboot nodes (knl): both lists have ours.
        both = [
            f"AvailableFeatures={','.join(merged(available, ours))}",
            f"ActiveFeatures={','.join(merged(active, ours))}",
        ]
        ask_slurm(["scontrol", "update", f"NodeName={node}", *both])
    except SpankContainerError as error:
        raise BusyError(f"telling Slurm what {node} has: {error}", hint=_HINT) from error


def parse_features(node: str) -> tuple[list[str], list[str]]:
    """The available and the active features in the answer of `scontrol --oneliner show node`."""
    available, active = (re.search(rf"\b{name}=(\S*)", node) for name in ("AvailableFeatures", "ActiveFeatures"))
    if not available or not active:
        raise BusyError("scontrol's answer was not understood", hint=_HINT)
    return _split(available[1]), _split(active[1])


def _split(text: str) -> list[str]:
    return [] if text == "(null)" else [feature for feature in text.split(",") if feature]


def merged(theirs: Sequence[str], ours: Sequence[str]) -> list[str]:
    """The site's own in their order, then ours as they are now."""
    return [*(feature for feature in theirs if not _OURS.fullmatch(feature)), *ours]
