"""For administrators: set up, check, sweep."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.commands.verbs import Audience
from spank_container.state import StateDirectory

if TYPE_CHECKING:
    import argparse

    from spank_container.commands.verbs import Verbs


def add_verbs(verbs: Verbs) -> None:
    _add_install(verbs)
    check = verbs.add(
        "check",
        "look whether everything that is needed is here",
        "A line for each thing, and what to do about those that are wrong. As root it sees more.",
        [("check", "on each login and compute node")],
        Audience.ADMINISTRATORS,
    )
    check.add_argument("--json", action="store_true", help="for machines: one array")
    check.set_defaults(run=_check)
    sweep = verbs.add(
        "sweep",
        "undo what dead jobs left on this node",
        "It asks Slurm which jobs live; where Slurm does not answer it does nothing, and ends with status 75. "
        "`spank-container install` brings a systemd timer for it.",
        [("sweep --idle-images", "before maintenance of the file system that has the images")],
        Audience.ADMINISTRATORS,
    )
    sweep.add_argument("--idle-images", action="store_true", help="unmount every image that no job uses, too")
    sweep.set_defaults(run=_sweep)


def _add_install(verbs: Verbs) -> None:
    install = verbs.add(
        "install",
        "compile the plugin for this Slurm, put the site's files in place",
        "Run it again after an upgrade of Slurm or of this. It never edits slurm.conf or plugstack.conf: it prints "
        "the lines that are missing there. A config.toml that the site has changed stays as it is.",
        [("install --dry-run", "look first"), ("install --root /images/node", "into the tree of a node image")],
        Audience.ADMINISTRATORS,
    )
    install.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    install.add_argument("--uninstall", action="store_true", help="take it all back")
    for option, default, words in (
        ("--prefix", "/opt/spank-container", "where the files go"),
        ("--slurm-conf-dir", "/etc/slurm", "Slurm's folder"),
        ("--slurm-include", "/usr/include", "the folder that has slurm/spank.h"),
        ("--root", "/", "the tree of a node image; all other paths are as the node sees them"),
    ):
        install.add_argument(option, type=Path, default=Path(default), metavar="DIR", help=f"{words} (%(default)s)")
    install.set_defaults(run=_install)


def _install(arguments: argparse.Namespace) -> None:
    from spank_container.commands.shared import shared_files  # noqa: PLC0415
    from spank_container.install import InstallOptions, install, uninstall  # noqa: PLC0415

    options = InstallOptions(
        prefix=arguments.prefix,
        slurm_conf_dir=arguments.slurm_conf_dir,
        root=arguments.root,
        slurm_include=arguments.slurm_include,
        dry_run=arguments.dry_run,
    )
    report = uninstall(options) if arguments.uninstall else install(options, shared_files())
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
