"""The verbs that people type, and `submit`, which the plugin runs for them: a module for each group of verbs.

Each verb imports what it needs when it runs, so that none pays for the others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container import __version__
from spank_container.commands import completion, explain, gateway, images, jobs, node, site
from spank_container.commands.verbs import PROGRAM, Example, VerbParser, Verbs, listed, sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY = "containers under Slurm"
ABOUT = (
    "A job gets its container by options of sbatch, salloc and srun, as --image and --volume. This program looks after "
    "images and, for administrators, after the site."
)
EXAMPLES = (
    Example("spank-container pull docker:debian:trixie", "have an image there"),
    Example("sbatch --image=docker:debian:trixie --volume=/scratch/me:/data job.sh", "run a job in it"),
    Example("spank-container image rm --help", "what a verb does, with its options"),
)
STATUSES = {
    0: "all is well",
    64: "you can put it right: what was asked for is wrong",
    70: "a defect, please report it",
    71: "this node's kernel or disk refused something",
    75: "something is busy: try again",
    78: "the site's set-up is wrong",
}


def run_command(argv: Sequence[str]) -> int:
    """Parse `argv` and run its verb; returns the exit status. Errors are raised."""
    arguments = program().parse_args(jobs.with_words(argv, os.environ))
    status: int | None = arguments.run(arguments)
    return status or 0


def program() -> VerbParser:
    """The parser, with all verbs in the order in which people need them."""
    parser = VerbParser(
        prog=PROGRAM, description=sentences(SUMMARY, ABOUT), epilog=listed(EXAMPLES), last_words=exit_statuses()
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}", help="the version")
    verbs = Verbs(parser)
    for group in (images, site, node, explain, gateway, completion, jobs):
        group.add_verbs(verbs)
    return parser


def exit_statuses() -> str:
    return "\n".join(["exit status:", *(f"  {status:<16}{words}" for status, words in STATUSES.items())])
