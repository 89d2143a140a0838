"""PREFIX/share/installed.json: what the last installation wrote, so that the next one and --uninstall know it again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SiteError
from spank_container.install.plan import InstallOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """`written`: path to fingerprint, in the order of writing; `folders`: those that were made, outermost first."""

    written: Mapping[Path, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    def to_json(self) -> str:
        written = {str(path): fingerprint for path, fingerprint in self.written.items()}
        folders = [str(folder) for folder in self.folders]
        return json.dumps({"version": _VERSION, "written": written, "folders": folders}, indent=1) + "\n"


def fingerprint(content: bytes | str) -> str:
    """Of a file's content, or of a link's target."""
    if isinstance(content, str):
        return f"link:{content}"
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fingerprint_on_disk(path: Path) -> str | None:
    """None when there is nothing at `path`."""
    if path.is_symlink():
        return fingerprint(str(path.readlink()))
    return fingerprint(path.read_bytes()) if path.exists() else None


def read_manifest(options: InstallOptions) -> Manifest:
    """Empty before the first installation."""
    path = options.in_root(options.manifest)
    try:
        document = json.loads(path.read_text())
        if document["version"] != _VERSION:
            raise SiteError(
                f"another version of spank-container wrote this [{path}]", hint="use that one's --uninstall"
            )
        written = {Path(name): str(value) for name, value in document["written"].items()}
        return Manifest(written, tuple(Path(name) for name in document["folders"]))
    except FileNotFoundError:
        return Manifest()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SiteError(f"this is damaged: {error!r} [{path}]", hint="remove it and install again") from error


def installed_options(prefix: Path) -> InstallOptions | None:
    """The options of the installation in `prefix`; None where there is none."""
    options = InstallOptions(prefix=prefix)
    for path in read_manifest(options).written:
        if path.name == options.plugstack_file.name and path.parent.name == options.plugstack_file.parent.name:
            return InstallOptions(prefix=prefix, slurm_conf_dir=path.parents[1])
    return None
