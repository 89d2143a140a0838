"""What the administrator has to do in Slurm's own files, and what must be done before --uninstall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SiteError
from spank_container.slurm.conf import SlurmConf, plugstack_includes, read_slurm_conf

if TYPE_CHECKING:
    from spank_container.install.plan import InstallOptions

PROLOG_FLAGS = ("Alloc", "Contain", "DeferBatch")
_JOBS = Path("/run/spank-container/jobs")


def missing_lines(options: InstallOptions) -> tuple[str, ...]:
    """One sentence each; empty when Slurm's files have all that is needed."""
    conf = slurm_conf(options)
    found = [*plugstack_advice(conf, options), *hooks_advice(conf, options)]
    if found:
        found.append("then restart slurmctld and each slurmd, and run `spank-container check`")
    return tuple(found)


def slurm_conf(options: InstallOptions) -> SlurmConf | None:
    """The site's, as it lies below the root that is installed into."""
    return read_slurm_conf(options.slurm_conf_dir / "slurm.conf", lambda path: options.in_root(path).read_text())


def plugstack_advice(conf: SlurmConf | None, options: InstallOptions) -> tuple[str, ...]:
    """The include of our line of plugstack.conf, unless it is there."""
    named = conf.values("PlugStackConfig") if conf else ()
    plugstack = Path(named[-1]) if named else options.slurm_conf_dir / "plugstack.conf"
    try:
        text = options.in_root(plugstack).read_text()
    except OSError:
        text = ""
    if plugstack_includes(text, plugstack, options.plugstack_file):
        return ()
    return (f"add to {plugstack}: include {options.plugstack_file.parent}/*.conf",)


def hooks_advice(conf: SlurmConf | None, options: InstallOptions) -> tuple[str, ...]:
    """Prolog, Epilog and PrologFlags: one include when slurm.conf has none of them, else each by itself."""
    file = options.slurm_conf_dir / "slurm.conf"
    names = ("Prolog", "Epilog", "PrologFlags")
    if conf is None or not any(conf.values(name) for name in names):
        return (f"add to {file}: include {options.slurm_conf_snippet.name}",)
    found = [hook_advice(conf, name, options) for name in ("Prolog", "Epilog")]
    flags = [flag for flag in PROLOG_FLAGS if flag.lower() not in conf.flags("PrologFlags")]
    if flags:
        found.append(f"add {','.join(flags)} to PrologFlags in {file}")
    return tuple(one for one in found if one)


def hook_advice(conf: SlurmConf, name: str, options: InstallOptions) -> str:
    """For Prolog or Epilog; empty when Slurm calls ours."""
    pattern = f"{options.slurm_conf_dir}/{name.lower()}.d/*"
    values = conf.values(name)
    if pattern in values or f"{options.slurm_conf_dir}/{name.lower()}.d/50-spank-container" in values:
        return ""
    if not values:
        return f"add to {options.slurm_conf_dir}/slurm.conf: {name}={pattern}"
    return (
        f"{options.slurm_conf_dir}/slurm.conf has {name}={values[-1]}: "
        f"link that into {options.slurm_conf_dir}/{name.lower()}.d, and write {name}={pattern}"
    )


def refuse_uninstall(options: InstallOptions) -> None:
    """SiteError while Slurm or a job still needs what would go."""
    conf, snippet = slurm_conf(options), options.slurm_conf_snippet
    if conf and snippet in conf.included:
        # Slurm's daemons and commands do not start with an Include that is not there.
        raise SiteError(
            f"{options.slurm_conf_dir}/slurm.conf includes {snippet.name}, and Slurm would not start without it",
            hint="remove that line, restart slurmctld and each slurmd, then uninstall",
        )
    if options.root == Path("/") and _jobs_here():
        raise SiteError(
            f"there are jobs with a container on this node, or what is left of them [{_JOBS}]",
            hint="drain the node, wait for its jobs, run `spank-container sweep`, then uninstall",
        )


def _jobs_here() -> bool:
    try:
        return any(_JOBS.iterdir())
    except OSError:
        return False
