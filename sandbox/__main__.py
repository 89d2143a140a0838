"""The command line of the sandbox: up, run, down."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from sandbox import cluster, gateway, job_container
from sandbox.command import SandboxError, attached, say
from sandbox.releases import DEFAULT, RELEASES

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """Run one verb and return its status."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    arguments = _parser().parse_args()
    try:
        return VERBS[arguments.verb](arguments)
    except SandboxError as error:
        say(f"sandbox: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev sandbox", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    shape = argparse.ArgumentParser(add_help=False)
    shape.add_argument("--nodes", type=int, default=2, help="compute nodes (2)")
    known = [release.slurm for release in RELEASES]
    shape.add_argument("--slurm", choices=known, default=DEFAULT, help=f"release of Slurm ({DEFAULT})")
    up = verbs.add_parser("up", parents=[shape], help="start a cluster")
    up.add_argument(
        "--job-container",
        metavar="OPTIONS",
        nargs="?",
        const="",
        help="give each job a /tmp of its own, as Slurm's job_container/tmpfs does; OPTIONS as EntireStepInNS=true",
    )
    up.add_argument("--gateway", action="store_true", help="with the image gateway, on the login node")
    run = verbs.add_parser("run", parents=[shape], help="run a command in it; with none up, in one of its own")
    run.add_argument("--user", default="root", help="root, alice or bob (root)")
    run.add_argument("--node", default="login", help="login, n1, n2 … (login)")
    run.add_argument("command", nargs="+", metavar="CMD")
    verbs.add_parser("demo", parents=[shape], help="the job of the README, shown and judged")
    verbs.add_parser("down", help="take it apart, whatever is left of it")
    return parser


def _up(arguments: argparse.Namespace) -> int:
    started = cluster.up(arguments.slurm, arguments.nodes)
    try:
        if arguments.job_container is not None:
            job_container.switch_on(started, *arguments.job_container.split())
        if arguments.gateway:
            gateway.start(started)
    except BaseException:  # Ctrl-C too
        cluster.down()
        raise
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from sandbox.demo import demonstrate  # noqa: PLC0415  # rich is for the eye; `run` shall start at once

    return demonstrate(arguments.slurm)


def _down(_: argparse.Namespace) -> int:
    cluster.down()
    return 0


def _run(arguments: argparse.Namespace) -> int:
    existing = cluster.running()
    if existing:
        argv = _argv(existing, arguments)
        os.execvp(argv[0], argv)  # noqa: S606  signals and the status are then the command's own
    own = cluster.up(arguments.slurm, arguments.nodes)
    try:
        return attached(_argv(own, arguments))
    finally:
        cluster.down()


def _argv(where: cluster.Cluster, arguments: argparse.Namespace) -> list[str]:
    member = where.members.get(arguments.node)
    if not member:
        raise SandboxError(f"no node {arguments.node}; there are {', '.join(where.members)}")
    return member.argv(arguments.command, arguments.user)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


VERBS = {"up": _up, "run": _run, "demo": _demo, "down": _down}

if __name__ == "__main__":
    sys.exit(main())
