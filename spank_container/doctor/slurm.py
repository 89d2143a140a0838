"""Slurm's side: the plugin for its release, plugstack.conf, the hooks, and the settings that call them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.doctor.findings import Finding, failure, ok, warning
from spank_container.doctor.trust import changeable_by_others
from spank_container.errors import SpankContainerError
from spank_container.install.advice import PROLOG_FLAGS, hook_advice, plugstack_advice, slurm_conf
from spank_container.install.plan import plugin_path
from spank_container.slurm.command import ask_slurm
from spank_container.slurm.conf import SlurmConf, parse_show_config
from spank_container.slurm.release import release_of_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spank_container.install import InstallOptions
    from spank_container.slurm.release import SlurmRelease

_INSTALL = "spank-container install"
# Flags that mean Alloc as well (slurm.conf(5), and DeferBatch since 26.05).
_IMPLY_ALLOC = frozenset({"alloc", "contain", "x11", "runinjob", "forcerequeueonfail"})


def check_slurm(options: InstallOptions) -> Iterator[Finding]:
    yield judge_plugin(options, release_of_programs())
    conf = _show_config() or slurm_conf(options)
    yield judge_plugstack(options, conf)
    for name in ("Prolog", "Epilog"):
        yield judge_setting(name, conf, options)
        yield judge_hook(name, options.slurm_conf_dir / f"{name.lower()}.d" / "50-spank-container")
    yield judge_flags(conf)


def _show_config() -> SlurmConf | None:
    """slurmctld's word, which may be older than slurm.conf; None where it does not answer."""
    try:
        return parse_show_config(ask_slurm(["scontrol", "show", "config"], timeout=20))
    except SpankContainerError:
        return None


def judge_plugin(options: InstallOptions, release: SlurmRelease | None) -> Finding:
    what = "plugin"
    if release is None:
        return warning(what, "no program of Slurm's answers, so its release is not known", "install Slurm")
    path = plugin_path(options.prefix, release)
    if not path.exists():
        return failure(what, f"there is none for Slurm {release} [{path}]", f"{_INSTALL}; again after each upgrade")
    if fault := changeable_by_others(path):
        return failure(what, f"Slurm's daemons load {path}, but {fault}", "give it to root alone")
    return ok(what, f"for Slurm {release}")


def judge_plugstack(options: InstallOptions, conf: SlurmConf | None) -> Finding:
    what = "plugstack.conf"
    try:
        line = re.search(r"^(?:required|optional)\s+(\S+)", options.plugstack_file.read_text(), re.MULTILINE)
    except OSError as error:
        return failure(what, f"{error.strerror} [{options.plugstack_file}]", _INSTALL)
    if line is None or not Path(line[1]).exists():
        return failure(what, f"the plugin that it names is not there [{options.plugstack_file}]", _INSTALL)
    if missing := plugstack_advice(conf, options):
        return failure(what, "it does not include ours, so there is no --image", f"{missing[0]}; restart slurmd")
    return ok(what, f"it includes {options.plugstack_file}")


def judge_setting(name: str, conf: SlurmConf | None, options: InstallOptions) -> Finding:
    if conf is None:
        return _unknown(name)
    if to_do := hook_advice(conf, name, options):
        return failure(name, "Slurm does not call ours", f"{to_do}; then restart slurmctld and slurmd")
    return ok(name, ", ".join(conf.values(name)))


def judge_flags(conf: SlurmConf | None) -> Finding:
    what = "PrologFlags"
    if conf is None:
        return _unknown(what)
    flags = conf.flags(what)
    missing = ",".join(flag for flag in PROLOG_FLAGS if flag.lower() not in flags)
    to_do = f"add {missing} to PrologFlags in slurm.conf, then restart slurmctld and slurmd"
    if not missing:
        return ok(what, ",".join(conf.values(what)))
    if not flags & _IMPLY_ALLOC:
        return failure(what, "without Alloc, the Prolog runs when a step starts, not before the job", to_do)
    return warning(what, f"{missing} is not among {','.join(sorted(flags))}", to_do)


def _unknown(what: str) -> Finding:
    return warning(what, "slurmctld does not answer and slurm.conf cannot be read", "run this where sinfo works")


def judge_hook(name: str, path: Path) -> Finding:
    what = f"{name}: the script"
    try:
        program = re.search(r"^(?:\w+=\S* )*exec (\S+)", path.read_text(), re.MULTILINE)
    except OSError as error:
        return failure(what, f"{error.strerror} [{path}]", _INSTALL)
    if not path.stat().st_mode & 0o100:
        return failure(what, f"it cannot be executed, and Slurm drains the node [{path}]", _INSTALL)
    if program is None or not Path(program[1]).exists():
        return failure(what, f"the Python that it starts is not there [{path}]", _INSTALL)
    for one in (path, Path(program[1])):
        if fault := changeable_by_others(one):
            return failure(what, f"root runs {one}, but {fault}", "give it to root alone, and what is above it")
    return ok(what, str(path))
