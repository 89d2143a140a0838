"""What a job would get: `submit`, as the plugin asks."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.commands.verbs import Audience
from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from spank_container.commands.verbs import Verbs
    from spank_container.pinning import Waiting
    from spank_container.submit import Options

_BY_HAND = "It is told by the environment which job it is about, and is nothing to run by hand."
# `cli` runs these itself: here are only their words.
_HOOKS = (
    ("prolog", "build the job's container, from Slurm's Prolog", _BY_HAND),
    ("epilog", "take the job's container back, from Slurm's Epilog", _BY_HAND),
    ("step", "build the container of a step, from the plugin", _BY_HAND),
)


def add_verbs(verbs: Verbs) -> None:
    submit = verbs.add(
        "submit",
        "check the options of sbatch, and print the job's request",
        "The plugin runs it whenever sbatch, salloc or srun is given an option of ours. The request is one line of "
        "JSON; lines of NAME=VALUE after it are for the job's environment.",
        [("submit --image=docker:debian:trixie", "look at a request")],
        Audience.SLURM,
    )
    add_options(submit)
    submit.add_argument("--step", action="store_true", help="for a step within a job that may have an image")
    submit.set_defaults(run=_submit)
    for name, summary, about in _HOOKS:
        hook = verbs.add(name, summary, about, audience=Audience.SLURM)
        if name == "step":
            hook.add_argument("--end", action="store_true", help="take it back")


def with_words(argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """`submit -` is how the plugin says it: everybody can read a command line, so the words stand in the environment."""
    if list(argv[:2]) != ["submit", "-"]:
        return list(argv)
    count = int(environment.get("SPANK_CONTAINER_WORDS", "0"))
    return ["submit", *(environment[f"SPANK_CONTAINER_WORD_{number}"] for number in range(count)), *argv[2:]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of sbatch, salloc and srun, by the same names and, but for room, in the words of the plugin."""
    option = parser.add_argument
    option("--image", metavar="REF", help="the image: docker:NAME[:TAG], custom:NAME[:TAG], id:DIGEST; or none")
    volume = "show the host's SOURCE as TARGET: SOURCE:TARGET[:FLAG]; FLAG: ro, rw, perNodeCache=size=SIZE"
    option("--volume", metavar="VOLUME", dest="volumes", action="append", default=[], help=volume)
    writable = "let the image's files be changed, in memory or in the cache at TARGET"
    option("--image-writable", metavar="SIZE|/TARGET", dest="writable", nargs="?", const="", help=writable)
    variable = "set a variable; may be repeated. NAME alone: to the value that it has here"
    option("--image-env", metavar="NAME[=VALUE]", dest="environment", action="append", default=[], help=variable)
    variables = "set the variables that FILE has, NAME=VALUE in each line; may be repeated"
    option("--image-env-file", metavar="FILE", dest="environment_files", action="append", default=[], help=variables)
    nothing = "keep nothing of the job's environment but what Slurm, MPI and the GPUs need"
    option("--image-clearenv", dest="clear_environment", action="store_true", help=nothing)
    folder = "start in DIR, or in the image's own folder"
    option("--image-workdir", metavar="DIR", dest="workdir", nargs="?", const="", help=folder)
    before = "put PROGRAM before the command, or the image's own ENTRYPOINT"
    option("--image-entrypoint", metavar="PROGRAM", dest="entrypoint", nargs="?", const="", help=before)


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
