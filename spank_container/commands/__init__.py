"""The verbs that people type, and `submit`, which the plugin runs for them: a module for each group of verbs.

Each verb imports what it needs when it runs, so that none pays for the others.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from spank_container import __version__
from spank_container.commands import explain, gateway, images, jobs, node, site

if TYPE_CHECKING:
    from collections.abc import Sequence

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # argparse gives it no other name


def run_command(argv: Sequence[str]) -> int:
    """Parse `argv` and run its verb; returns the exit status. Errors are raised."""
    arguments = _parser().parse_args(jobs.with_words(argv, os.environ))
    status: int | None = arguments.run(arguments)
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spank-container",
        description="Containers under Slurm: sbatch --image=docker:debian:trixie --volume=SOURCE:TARGET job.sh",
        epilog="Exit status: 0, 64 what you asked for is wrong, 71 this node, 75 try again, 78 this site's set-up.",
    )
    parser.add_argument("--version", action="version", version=f"spank-container {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for group in (jobs, explain, images, gateway, node, site):
        group.add_verbs(verbs)
    return parser
