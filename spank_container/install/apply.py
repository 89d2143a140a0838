"""Writes and removes what the comparison says; decides nothing.

A file comes into place whole or not at all: Slurm may run a hook or read plugstack.conf.d at any moment.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import NodeError
from spank_container.install.compare import Action
from spank_container.install.manifest import Manifest, fingerprint
from spank_container.install.plan import PlannedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spank_container.install.compare import Step
    from spank_container.install.plan import InstallOptions, Planned


def apply(steps: Iterable[Step], manifest: Manifest, options: InstallOptions) -> None:
    """Write what differs; what was written is in the manifest even when a later file fails."""
    done: dict[Path, str] = {}
    folders: list[Path] = []
    try:
        for step in steps:
            if step.planned is None or step.action is Action.KEEP:
                continue
            if step.action is not Action.SAME:
                folders += _make_folders(step.path.parent, options)
                _write(step.planned, step.present)
            done[step.path] = _fingerprint(step.planned)
    except OSError as error:
        raise NodeError.from_os_error("installing", error, error.filename or "") from error
    finally:
        _save(manifest, done, folders, options)


def _save(manifest: Manifest, done: Mapping[Path, str], folders: Iterable[Path], options: InstallOptions) -> None:
    """What an earlier plan had stands first: removal goes backwards, and the line in plugstack.conf.d must go first."""
    earlier = {path: written for path, written in manifest.written.items() if path not in done}
    new = Manifest({**earlier, **done}, (*manifest.folders, *folders))
    if new != manifest:
        made = _make_folders(options.manifest.parent, options)
        new = Manifest(new.written, (*new.folders, *made))
        _write(PlannedFile(options.manifest, new.to_json().encode()), options.in_root(options.manifest))


def remove(steps: Iterable[Step], manifest: Manifest, options: InstallOptions) -> None:
    """Remove what is as it was written, the folders that are empty then, and the manifest."""
    try:
        for step in steps:
            if step.action is Action.REMOVE:
                step.present.unlink()
        options.in_root(options.manifest).unlink(missing_ok=True)
    except OSError as error:
        raise NodeError.from_os_error("uninstalling", error, error.filename or "") from error
    for folder in reversed(manifest.folders):
        with contextlib.suppress(OSError):  # not empty, since there is something of the site's in it; or gone
            options.in_root(folder).rmdir()


def _make_folders(folder: Path, options: InstallOptions) -> list[Path]:
    """The folders that had to be made, outermost first."""
    made = [one for one in (folder, *folder.parents) if not options.in_root(one).exists()][::-1]
    for one in made:
        options.in_root(one).mkdir(mode=0o755)
        options.in_root(one).chmod(0o755)  # whatever the umask: users' commands read the plugin through these
    return made


def _write(planned: Planned, present: Path) -> None:
    # A leading dot: prolog.d/* and plugstack.conf.d/*.conf are glob(7) patterns, which pass over such names.
    with tempfile.TemporaryDirectory(prefix=".spank-container-", dir=present.parent) as folder:
        temporary = Path(folder) / present.name
        if isinstance(planned, PlannedFile):
            with temporary.open("wb") as file:
                file.write(planned.content)
                os.fchmod(file.fileno(), planned.mode)
                os.fsync(file.fileno())
        else:
            temporary.symlink_to(planned.target)
        temporary.replace(present)


def _fingerprint(planned: Planned) -> str:
    return fingerprint(planned.content if isinstance(planned, PlannedFile) else planned.target)
