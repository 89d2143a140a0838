"""The verbs that people type, and `submit`, which the plugin runs for them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container import __version__
from spank_container.site_config import load_config
from spank_container.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_command(argv: Sequence[str]) -> int:
    """Parse `argv` and run its verb; returns the exit status. Errors are raised."""
    arguments = _parser().parse_args(argv)
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
    _add_submit(verbs)
    _add_images(verbs)
    _add_site(verbs)
    return parser


if TYPE_CHECKING:
    _Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # argparse gives it no other name


def _add_submit(verbs: _Verbs) -> None:
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


def _add_images(verbs: _Verbs) -> None:
    pull = verbs.add_parser("pull", help="fetch an image from its registry into the store")
    pull.add_argument("image", metavar="REF", help="docker:NAME[:TAG][@DIGEST]")
    pull.set_defaults(run=_pull)
    images = verbs.add_parser("images", help="list the images in the store")
    images.add_argument("--json", action="store_true", help="for machines: one array")
    images.set_defaults(run=_images)


def _pull(arguments: argparse.Namespace) -> None:
    from spank_container.images.show import show_pull  # noqa: PLC0415

    show_pull(arguments.image, Path(load_config().images.store))


def _images(arguments: argparse.Namespace) -> None:
    from spank_container.images.show import show_images  # noqa: PLC0415

    show_images(Path(load_config().images.store), as_json=arguments.json)


def _add_site(verbs: _Verbs) -> None:
    install = verbs.add_parser("install", help="compile the plugin for this Slurm and put the site's files in place")
    install.add_argument("--prefix", type=Path, default=Path("/opt/spank-container"), metavar="DIR")
    install.add_argument("--slurm-conf-dir", type=Path, default=Path("/etc/slurm"), metavar="DIR")
    install.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="a node image's tree")
    install.add_argument("--slurm-include", type=Path, default=Path("/usr/include"), metavar="DIR")
    install.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    install.add_argument("--uninstall", action="store_true", help="take it back")
    install.set_defaults(run=_install)
    check = verbs.add_parser("check", help="look whether everything that is needed is here, and say what to do")
    check.add_argument("--json", action="store_true", help="for machines")
    check.set_defaults(run=_check)
    sweep = verbs.add_parser("sweep", help="undo what dead jobs left on this node")
    sweep.set_defaults(run=_sweep)
    verbs.add_parser("prolog", help="for Slurm's Prolog: build the job's container")
    verbs.add_parser("epilog", help="for Slurm's Epilog: take the job's container back")
    verbs.add_parser("step", help="for the plugin: build the container of a step; --end takes it back")


def _install(arguments: argparse.Namespace) -> None:
    from spank_container.install import InstallOptions, install, uninstall  # noqa: PLC0415

    options = InstallOptions(
        prefix=arguments.prefix,
        slurm_conf_dir=arguments.slurm_conf_dir,
        root=arguments.root,
        slurm_include=arguments.slurm_include,
        dry_run=arguments.dry_run,
    )
    report = uninstall(options) if arguments.uninstall else install(options)
    print(report.text(color=sys.stdout.isatty()))


def _check(arguments: argparse.Namespace) -> int:
    from spank_container import doctor  # noqa: PLC0415

    findings = doctor.check()
    print(doctor.to_json(findings) if arguments.json else doctor.to_text(findings, terminal=sys.stdout.isatty()))
    return doctor.exit_code(findings)


def _sweep(arguments: argparse.Namespace) -> None:
    from spank_container import lifecycle  # noqa: PLC0415
    from spank_container.slurm import live_jobs, node_name  # noqa: PLC0415

    del arguments
    print(json.dumps(lifecycle.sweep(StateDirectory(), lambda: live_jobs(node_name()))))
