"""For administrators: set up, check, sweep; and the hooks, which `cli` runs by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.state import StateDirectory

if TYPE_CHECKING:
    import argparse

    from spank_container.commands import Verbs


def add_verbs(verbs: Verbs) -> None:
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
    sweep.add_argument("--idle-images", action="store_true", help="unmount every image that no job uses, too")
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
    from spank_container.commands.node import advertise_images  # noqa: PLC0415
    from spank_container.site_config import load_config  # noqa: PLC0415
    from spank_container.slurm import live_jobs, node_name  # noqa: PLC0415

    state, config = StateDirectory(), load_config()
    print(json.dumps(lifecycle.sweep(state, lambda: live_jobs(node_name()), idle_images=arguments.idle_images)))
    if config.images.advertise:
        advertise_images(state, config)
