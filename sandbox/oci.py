"""OCI images made from folders: gzip layers, a config and a manifest, as an OCI layout that skopeo can push."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.command import SandboxError, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OCI = "application/vnd.oci.image"
EXCLUDED = ("./dev/*", "./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*")


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about how it wants to be run."""

    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    command: Sequence[str] = ("/bin/sh",)
    entrypoint: Sequence[str] = ()


def write_layout(layout: Path, layers: Sequence[Path], config: ImageConfig, tag: str = "latest") -> None:
    """Write an image of `layers` (folders, the lowest first; root's view of them is packed) to the folder `layout`."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    packed = [_pack(folder, blobs) for folder in layers]
    architecture = run(["dpkg", "--print-architecture"]).strip()
    image_config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Env": [f"{name}={value}" for name, value in config.environment.items()],
            "WorkingDir": config.workdir,
            "Cmd": list(config.command),
            "Entrypoint": list(config.entrypoint),
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _ in packed]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": _blob(blobs, json.dumps(image_config).encode(), f"{OCI}.config.v1+json"),
        "layers": [descriptor for _, descriptor in packed],
    }
    described = _blob(blobs, json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))


def _blob(blobs: Path, data: bytes, media_type: str) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


def _pack(folder: Path, blobs: Path) -> tuple[str, dict[str, object]]:
    """The digest of the layer's tar, which the config lists, and the descriptor of its gzip, which is stored."""
    diff_id = hashlib.sha256()
    temporary = blobs / "unfinished"
    excluded = [f"--exclude={pattern}" for pattern in EXCLUDED]
    command = ["tar", "--create", "--numeric-owner", "--sort=name", *excluded, f"--directory={folder}", "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar, gzip.open(temporary, "wb", compresslevel=3) as out:
        while tar.stdout and (chunk := tar.stdout.read(1 << 20)):
            diff_id.update(chunk)
            out.write(chunk)
    if tar.returncode != 0:
        raise SandboxError(f"tar of {folder} failed with status {tar.returncode}")
    data = temporary.read_bytes()
    temporary.unlink()
    return f"sha256:{diff_id.hexdigest()}", _blob(blobs, data, f"{OCI}.layer.v1.tar+gzip")
