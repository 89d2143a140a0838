"""What a site's administrator writes on every node: the layer with hosts, slurm.conf, keys and certificates.

The upmost read-only layer of every node, the same for all of them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox.cache import digest, kept
from sandbox.command import run
from sandbox.network import LOGIN_ADDRESS, address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.releases import Release

TEMPLATES = Path(__file__).with_name("templates")
PLUGIN_LINE = Path("etc/slurm/plugstack.conf.d/spank-container.conf")
TIMING = "timing=/var/log/spank-container.timing"
TRUSTED = Path("etc/ssl/certs/ca-certificates.crt")

# One year is longer than any cache folder lives, and the key is worth nothing outside the sandbox.
CERTIFICATE = f"""
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -keyout ca.key -out ca.crt -subj "/CN=sandbox CA" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout registry.key -out registry.csr -subj /CN=registry.sandbox 2>/dev/null
printf 'subjectAltName=DNS:registry.sandbox,IP:{LOGIN_ADDRESS}\n' > names
openssl x509 -req -in registry.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
    -extfile names -out registry.crt 2>/dev/null
mkdir trust # skopeo takes every key in the folder that it is given for a client's
cp ca.crt trust
"""


def certificates() -> Path:
    """The sandbox's certificate authority and the registry's certificate."""
    return kept("certificates", digest(CERTIFICATE), _make_certificates)


def _make_certificates(folder: Path) -> None:
    run(["sh", "-c", CERTIFICATE], cwd=folder)


def write_layer(layer: Path, release: Release, nodes: Sequence[str], lower: Sequence[Path]) -> None:
    """Fill the empty folder `layer`; `lower` are the layers that it will lie on."""
    jinja = Environment(  # noqa: S701  no HTML here
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    jinja.globals = {
        "release": release,
        "nodes": nodes,
        "hosts": {name: address_of(name) for name in ("login", *nodes)},
    }
    for template in TEMPLATES.rglob("*.j2"):
        relative = template.relative_to(TEMPLATES)
        target = layer / relative.with_suffix("")
        _make_folders(layer, relative.parent, lower)
        target.write_text(jinja.get_template(str(relative)).render())
    _switch_timing_on(layer, lower)
    _install_secrets(layer, lower)


def _switch_timing_on(layer: Path, lower: Sequence[Path]) -> None:
    """The plugin writes down how long each task's entry took, for `demo` and `bench`."""
    _make_folders(layer, PLUGIN_LINE.parent, lower)
    line = (lower[0] / PLUGIN_LINE).read_text().rstrip()
    (layer / PLUGIN_LINE).write_text(f"{line} {TIMING}\n")


def _make_folders(layer: Path, folder: Path, lower: Sequence[Path]) -> None:
    """In an overlay the upmost layer's folder decides owner and mode, so they are taken over from below."""
    for part in [*reversed(folder.parents), folder]:
        below = next((path / part for path in lower if (path / part).is_dir()), None)
        (layer / part).mkdir(exist_ok=True)
        if below:
            shutil.copystat(below, layer / part)
            os.chown(layer / part, below.stat().st_uid, below.stat().st_gid)


def _install_secrets(layer: Path, lower: Sequence[Path]) -> None:
    root = lower[-1]
    _make_folders(layer, TRUSTED.parent, lower)
    certificate = (certificates() / "ca.crt").read_text()
    (layer / TRUSTED).write_text((root / TRUSTED).read_text() + certificate)
    _make_folders(layer, Path("etc/munge"), lower)
    key = layer / "etc/munge/munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    owner = (root / "etc/munge").stat()
    os.chown(key, owner.st_uid, owner.st_gid)
