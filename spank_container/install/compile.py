"""What this machine's compiler makes: the plugin for the Slurm that is here, and the container's `shifter`.

The same bytes each time, as long as sources, headers and compiler are the same. So both are compiled at every
installation (a second), and what is in place is compared with the result. It never writes but to a temporary folder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container import __version__
from spank_container.errors import SiteError
from spank_container.run import PATH, ProgramFailedError, run
from spank_container.values.variables import PROTECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGE = Path(__file__).parents[1]
# No -Werror here, as the tests have it: a site's newer compiler may warn of something new, and must not stop it.
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wl,-z,now", "-Wl,-z,relro")


def compile_plugin(include: Path) -> bytes:
    """For the release of Slurm whose headers are below `include`."""
    folder = _PACKAGE / "plugin"
    exports = f"-Wl,--version-script={folder / 'exports.map'}"
    flags = ["-fPIC", "-shared", "-fvisibility=hidden", exports, f"-I{include}"]
    return _compiled("the plugin", folder, flags)


def compile_shifter() -> bytes:
    """Static: an image may have another C library, or none."""
    kept = ",".join(json.dumps(beginning) for beginning in PROTECTED)
    flags = ["-static", "-s", f"-DKEPT={kept}", f'-DVERSION="{__version__}"']
    return _compiled("the container's shifter", _PACKAGE / "support" / "container", flags)


def _compiled(what: str, folder: Path, flags: Sequence[str]) -> bytes:
    compiler = shutil.which("cc", path=PATH) or shutil.which("gcc", path=PATH)
    if compiler is None:
        raise SiteError("there is no C compiler", hint="install gcc, and the C library's headers (Debian: libc6-dev)")
    sources = [str(source) for source in sorted(folder.glob("*.c"))]
    with tempfile.TemporaryDirectory() as place:
        result = Path(place) / "result"
        try:
            run([compiler, *_FLAGS, *flags, "-o", str(result), *sources], timeout=120)
        except ProgramFailedError as error:
            raise _failed(what, error) from error
        return result.read_bytes()


def _failed(what: str, error: ProgramFailedError) -> SiteError:
    said = [line for line in error.stderr.splitlines() if "error:" in line] or [error.stderr]
    hint = error.hint
    if "-lc" in error.stderr:
        said = ["there is no static C library"]
        hint = "install it (Debian: libc6-dev, RHEL: glibc-static)"
    return SiteError(f"compiling {what}: {said[0]}", hint=hint)
