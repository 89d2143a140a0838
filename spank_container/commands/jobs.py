"""What a job would get: `submit`, as the plugin asks."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse

    from spank_container.commands import Verbs


def add_verbs(verbs: Verbs) -> None:
    submit = verbs.add_parser("submit", help="check options as sbatch would and print the job's request as JSON")
    submit.add_argument("--image", metavar="REF")
    submit.add_argument("--volume", metavar="SPEC", action="append", default=[])
    submit.add_argument("--step", action="store_true", help="for a step within a job that may have an image")
    submit.set_defaults(run=_submit)


def _submit(arguments: argparse.Namespace) -> None:
    from spank_container.request import step_surroundings  # noqa: PLC0415
    from spank_container.submit import submit  # noqa: PLC0415  # each verb imports what it needs, when it runs

    inherited = os.environ.get("SLURM_SPANK_CONTAINER_REQUEST") if arguments.step else None
    request = submit(arguments.image, arguments.volume, load_config(), inherited)
    if arguments.step:
        request = replace(request, surroundings=step_surroundings(os.environ, _here()))
    print(request.to_json())


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us, and then cannot be shown either
        return ""
