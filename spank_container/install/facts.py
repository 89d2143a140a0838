"""The facts of an installation: which Slurm is here, and the plugin as this machine's compiler makes it for that."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SiteError
from spank_container.install.plan import InstallFacts, is_plain
from spank_container.run import PATH, ProgramFailedError, run
from spank_container.slurm.release import HEADERS_HINT, release_of_headers, release_of_programs

if TYPE_CHECKING:
    from spank_container.install.plan import InstallOptions
    from spank_container.slurm.release import SlurmRelease

_SOURCE = Path(__file__).parents[1] / "plugin"
# No -Werror here, as the tests have it: a site's newer compiler may warn of something new, and must not stop it.
_FLAGS = [
    "-std=gnu11",
    "-O2",
    "-fPIC",
    "-shared",
    "-Wall",
    "-Wextra",
    "-fvisibility=hidden",
    "-Wl,-z,now",
    "-Wl,-z,relro",
]


def gather(options: InstallOptions) -> InstallFacts:
    """Raises SiteError that names the package to install when the headers or the compiler are not there."""
    include = options.in_root(options.slurm_include)
    release = release_of_headers(include)
    if options.root == Path("/"):
        check_same_release(release, release_of_programs())
    return InstallFacts(release, compile_plugin(include), check_venv(Path(sys.prefix)))


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


def compile_plugin(include: Path) -> bytes:
    """The plugin; the same bytes each time, as long as source, headers and compiler are the same.

    So it is compiled at every installation (half a second), and what is in place is compared with the result.
    """
    compiler = shutil.which("cc", path=PATH) or shutil.which("gcc", path=PATH)
    if compiler is None:
        raise SiteError("there is no C compiler", hint="install gcc, and the C library's headers (Debian: libc6-dev)")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "spank_container.so"
        exports = f"-Wl,--version-script={_SOURCE / 'exports.map'}"
        sources = [str(source) for source in sorted(_SOURCE.glob("*.c"))]
        try:
            run([compiler, *_FLAGS, exports, "-I", str(include), "-o", str(result), *sources], timeout=120)
        except ProgramFailedError as error:
            said = [line for line in error.stderr.splitlines() if "error:" in line] or [error.stderr]
            raise SiteError(f"compiling the plugin: {said[0]}", hint=error.hint) from error
        return result.read_bytes()
