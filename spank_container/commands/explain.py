"""A plan in words: of options that are given as to sbatch, or of a record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.commands.jobs import add_options, here, typed_options
from spank_container.commands.verbs import Audience
from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse

    from spank_container.commands.verbs import Verbs

_NONE = "none"


def add_verbs(verbs: Verbs) -> None:
    explain = verbs.add(
        "explain",
        "say what a job with these options would see, how and why",
        "The options are those of sbatch, and what sbatch would refuse is refused in the same words. It does nothing, "
        "and knows what this machine knows: the nodes may have other files, groups and mounts.",
        [("explain --image=docker:debian:trixie --volume=/s/me:/data:ro", "before the job waits for an hour")],
    )
    add_options(explain)
    explain.add_argument("--json", action="store_true", help="for machines")
    explain.set_defaults(run=_explain)
    plan = verbs.add(
        "plan",
        "say what a job that runs has, by its record",
        "The record is on the job's node, and only root can read it: it has the values of the user's variables too.",
        [("plan --record /run/spank-container/jobs/JOB/record.json", "on the job's node")],
        Audience.ADMINISTRATORS,
    )
    plan.add_argument("--record", type=Path, metavar="FILE", required=True, help="jobs/JOB/record.json or of a step")
    plan.add_argument("--json", action="store_true", help="for machines")
    plan.set_defaults(run=_plan)


def _explain(arguments: argparse.Namespace) -> None:
    from spank_container.explain.here import plan_here  # noqa: PLC0415
    from spank_container.explain.rows import explain  # noqa: PLC0415
    from spank_container.explain.show import show  # noqa: PLC0415
    from spank_container.pinning import Waiting  # noqa: PLC0415
    from spank_container.submit import submit  # noqa: PLC0415

    options, config = typed_options(arguments), load_config()
    if options.image == _NONE:
        print("--image=none: the job runs on the host.")
        return
    request = submit(options, config, os.environ, waiting=Waiting(pulls=False))
    request.to_json()  # sbatch refuses what Slurm has no room for
    plan, left_out = plan_here(request, config, here())
    about = (
        f"A job of yours with {request.image.reference}, {request.image.digest}, by what this machine,"
        f" {os.uname().nodename}, knows:\nits nodes may have other files, groups and mounts. Nothing was done."
        f"{left_out and chr(10) + left_out}"
    )
    show(about, explain(plan, request.typed or str(request.image.reference)), as_json=arguments.json)


def _plan(arguments: argparse.Namespace) -> None:
    from spank_container.explain.recorded import read_record  # noqa: PLC0415
    from spank_container.explain.rows import explain  # noqa: PLC0415
    from spank_container.explain.show import show  # noqa: PLC0415
    from spank_container.request import parse_request  # noqa: PLC0415

    record = read_record(arguments.record)
    request = parse_request(record.request)
    about = f"As recorded in {arguments.record}: a job with {request.image.reference}, {request.image.digest}."
    show(about, explain(record.plan, request.typed or str(request.image.reference)), as_json=arguments.json)
