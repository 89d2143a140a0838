"""The facts of an installation: which Slurm and which Python are here, and what the compiler makes for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SiteError
from spank_container.install.compile import compile_plugin, compile_shifter
from spank_container.install.plan import InstallFacts, is_plain
from spank_container.slurm.release import HEADERS_HINT, release_of_headers, release_of_programs

if TYPE_CHECKING:
    from spank_container.install.plan import InstallOptions, SharedFile
    from spank_container.slurm.release import SlurmRelease


def gather(options: InstallOptions, shared: tuple[SharedFile, ...] = ()) -> InstallFacts:
    """Raises SiteError that names the package to install when the headers or the compiler are not there."""
    include = options.in_root(options.slurm_include)
    release = release_of_headers(include)
    if options.root == Path("/"):
        check_same_release(release, release_of_programs())
    venv = check_venv(Path(sys.prefix))
    return InstallFacts(release, compile_plugin(include), compile_shifter(), venv, shared)


def check_venv(venv: Path) -> Path:
    """The hooks, which are sh, name it."""
    if not is_plain(venv):
        raise SiteError(f"this venv has a name that scripts cannot hold: {str(venv)!r}", hint="make it elsewhere")
    return venv


def check_same_release(headers: SlurmRelease, programs: SlurmRelease | None) -> None:
    """`programs` is None where no Slurm runs, as where an image of a node is made: the headers decide then."""
    if programs not in {None, headers}:
        raise SiteError(
            f"Slurm here is {programs}, but its headers are of {headers}: slurmd would refuse the plugin",
            hint=HEADERS_HINT,
        )
