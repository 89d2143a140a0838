"""What a job would get: `submit`, as the plugin asks."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from spank_container.commands import Verbs
    from spank_container.pinning import Waiting
    from spank_container.submit import Options


def add_verbs(verbs: Verbs) -> None:
    submit = verbs.add_parser("submit", help="check options as sbatch would and print the job's request as JSON")
    add_options(submit)
    submit.add_argument("--step", action="store_true", help="for a step within a job that may have an image")
    submit.set_defaults(run=_submit)


def with_words(argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """`submit -` is how the plugin says it: everybody can read a command line, so the words stand in the environment."""
    if list(argv[:2]) != ["submit", "-"]:
        return list(argv)
    count = int(environment.get("SPANK_CONTAINER_WORDS", "0"))
    return ["submit", *(environment[f"SPANK_CONTAINER_WORD_{number}"] for number in range(count)), *argv[2:]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of sbatch, salloc and srun, by the same names."""
    parser.add_argument("--image", metavar="REF")
    parser.add_argument("--volume", metavar="SPEC", dest="volumes", action="append", default=[])
    parser.add_argument("--image-writable", metavar="SIZE|/TARGET", dest="writable", nargs="?", const="")
    parser.add_argument("--image-env", metavar="NAME[=VALUE]", dest="environment", action="append", default=[])
    parser.add_argument("--image-env-file", metavar="FILE", dest="environment_files", action="append", default=[])
    parser.add_argument("--image-clearenv", dest="clear_environment", action="store_true")
    parser.add_argument("--image-workdir", metavar="DIR", dest="workdir", nargs="?", const="")
    parser.add_argument("--image-entrypoint", metavar="PROGRAM", dest="entrypoint", nargs="?", const="")


def typed_options(arguments: argparse.Namespace) -> Options:
    """What `add_options` has read."""
    from spank_container.submit import Options  # noqa: PLC0415  # each verb imports what it needs, when it runs

    return Options(**{one.name: getattr(arguments, one.name) for one in fields(Options)})


def _submit(arguments: argparse.Namespace) -> None:
    from spank_container.request import step_surroundings  # noqa: PLC0415
    from spank_container.submit import submit  # noqa: PLC0415

    inherited = os.environ.get("SLURM_SPANK_CONTAINER_REQUEST") if arguments.step else None
    with _watching() as waiting:
        request = submit(typed_options(arguments), load_config(), os.environ, inherited, waiting)
    if request.pulling:
        print(f"{request.image.reference} is being pulled; the job waits for it", file=sys.stderr)
    if arguments.step:
        print(replace(request, surroundings=step_surroundings(os.environ, here())).to_json())
        return
    print(request.to_json())
    # What scripts of Shifter's users read, as SLURM_SPANK_SHIFTER_...; the plugin hands each of these to Slurm.
    print(f"SHIFTER_IMAGE={request.image.digest}")
    print(f"SHIFTER_IMAGEREQUEST={request.image_request}")
    print("SHIFTER_IMAGETYPE=id")


@contextmanager
def _watching() -> Iterator[Waiting]:
    """sbatch returns at once; whoever sits at an srun or salloc sees the image come before the job has its nodes."""
    from spank_container.commands.show import progress  # noqa: PLC0415
    from spank_container.pinning import Waiting  # noqa: PLC0415

    with progress() as report:
        yield Waiting(_submitter() != "sbatch", report)


def _submitter() -> str:
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text(encoding="utf-8").strip()
    except FileNotFoundError:  # a parent in another pid namespace has no number here
        return ""


def here() -> str:
    """The folder that a job is submitted from."""
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us, and then cannot be shown either
        return ""
