"""Running programs that build a root, and scripts inside it.

In mount and pid namespaces of their own, so that whatever they mount or start is gone when they end; and when we are
killed they end with us, since the next who wants the root starts anew.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sandbox.command import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONTAINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def run_in_root(root: Path, script: str, *, binds: Mapping[Path, str] | None = None, below: str = "") -> str:
    """Run the sh `script` in `root` as root; `binds` are folders of the host by their place inside.

    With `below` (overlay's lowerdir: the upmost first), `root` is the layer that receives what the script changes.
    """
    steps = ["set -eu"]
    target = "$ROOT"
    if below:
        # The work folder has to be on the layer's own file system and must not end up in it.
        steps += [
            "mkdir -p $ROOT.work $ROOT.merged",
            f"mount -t overlay overlay -o lowerdir={below},upperdir=$ROOT,workdir=$ROOT.work $ROOT.merged",
        ]
        target = "$ROOT.merged"
    steps += [f"mount -t proc proc {target}/proc"]
    for source, place in (binds or {}).items():
        steps += [f"mkdir -p {target}{place}", f"mount --bind {shlex.quote(str(source))} {target}{place}"]
    steps += [f'exec chroot {target} sh -euc "$SCRIPT"']
    environment = ENVIRONMENT | {"ROOT": str(root), "SCRIPT": script}
    try:
        return run([*CONTAINED, "sh", "-c", "\n".join(steps)], environment=environment)
    finally:
        if below:
            run(["rm", "-rf", f"{root}.work", f"{root}.merged"])
