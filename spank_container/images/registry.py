"""Images in registries, through skopeo: the only caller of it.

Mirrors, short names, TLS, proxies, credentials and the signature policy are skopeo's, from the site's /etc/containers.
What it hands over is checked here against the digests; nothing is converted here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SiteError, UserError
from spank_container.images.documents import (
    LARGEST_CONFIG,
    chosen,
    is_index,
    read_configuration,
    read_manifest,
    refuse,
    verify,
)
from spank_container.run import FIXED_ENVIRONMENT, ProgramFailedError, run
from spank_container.values.image_ref import Digest, RegistryRef

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spank_container.images.image_config import Configuration, Manifest
    from spank_container.values.image_format import ImageFormat

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}
_PASSED = frozenset(
    {
        "HOME",
        "REGISTRY_AUTH_FILE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "XDG_RUNTIME_DIR",
        *(name for proxy in ("http_proxy", "https_proxy", "no_proxy") for name in (proxy, proxy.upper())),
    }
)
_DOWN = re.compile(
    r"timeout|timed out|deadline exceeded|connection re(?:fused|set)|server misbehaving|temporary failure in name resolution"
    r"|network is unreachable|no route to host|unexpected eof|too ?many ?requests|status(?: ?code)?:? (?:429|5\d\d)",
    re.IGNORECASE,
)

_PREFIX = re.compile(r'^(?:Error (?:parsing image name "[^"]*"|reading manifest[^:]*): |initializing source \S+: )+')


def local_architecture() -> str:
    """This machine's, in the words of image indexes."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def passed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What skopeo may see of the environment of the person who pulls: proxies, and where the logins are."""
    return dict(FIXED_ENVIRONMENT) | {name: environment[name] for name in _PASSED & environment.keys()}


def _pulling(ref: RegistryRef) -> str:
    """What is tried, for the words of an error."""
    return f"pull {ref}"


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image for one platform, found in its registry: `digest` is that of `manifest`."""

    ref: RegistryRef
    digest: Digest
    manifest: Manifest

    @property
    def task(self) -> str:
        return _pulling(self.ref)

    @property
    def source(self) -> str:
        return f"docker://{self.ref.registry}/{self.ref.repository}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Registry:
    """How registries are asked: for which `architecture`, with which environment, and for how many seconds."""

    architecture: str = field(default_factory=local_architecture)
    environment: Mapping[str, str] = field(default_factory=FIXED_ENVIRONMENT.copy)
    answer_time: float = 120
    download_time: float = 3600

    @classmethod
    def asking_for(cls, wanted: ImageFormat, environment: Mapping[str, str] = FIXED_ENVIRONMENT) -> Registry:
        """With what else is usual."""
        return cls(wanted.architecture or local_architecture(), environment)

    def find(self, ref: RegistryRef) -> RemoteImage:
        """What `ref` means in its registry now; UserError when there is no such image for our architecture."""
        data = self._skopeo(ref, "inspect", "--raw", f"docker://{ref.name}")
        digest = ref.digest or Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
        verify(_pulling(ref), data, digest)
        if is_index(_pulling(ref), data):
            digest = Digest(chosen(_pulling(ref), data, self.architecture).digest)
            data = self._skopeo(ref, "inspect", "--raw", f"docker://{ref.registry}/{ref.repository}@{digest}")
            verify(_pulling(ref), data, digest)
        return RemoteImage(ref, digest, read_manifest(_pulling(ref), data))

    def configuration(self, image: RemoteImage) -> Configuration:
        """The image's configuration, checked to be for our architecture."""
        size = image.manifest.config.size
        if size > LARGEST_CONFIG:
            refuse(image.task, f"its configuration has {size} bytes, {LARGEST_CONFIG} are allowed")
        data = self._skopeo(image.ref, "inspect", "--config", "--raw", image.source)
        return read_configuration(image.task, data, image.manifest, self.architecture)

    def download(self, image: RemoteImage, blobs: Path, layout: Path) -> None:
        """Fetch the layers that `blobs` has not got; `layout` is a folder that skopeo needs beside it, rubbish after.

        This is where skopeo applies the site's signature policy, so it is called even when all layers are there.
        """
        options = ["--quiet", "--remove-signatures", "--dest-oci-accept-uncompressed-layers"]
        shared = ["--dest-shared-blob-dir", str(blobs)]
        self._skopeo(
            image.ref, "copy", *options, *shared, image.source, f"oci:{layout}:image", timeout=self.download_time
        )

    def _skopeo(self, ref: RegistryRef, *words: str, timeout: float | None = None) -> bytes:
        timeout = timeout or self.answer_time
        try:
            return run(["skopeo", *words], timeout=timeout, environment=self.environment).stdout
        except ProgramFailedError as error:
            denied = f"check the name; if the image is private: spank-container login {ref.registry}"
            raise explained(_pulling(ref), error.stderr, denied, f"skopeo inspect docker://{ref.name}") from error
        except BusyError as error:
            message = f"cannot {_pulling(ref)}: {ref.registry} did not answer within {timeout:g} s"
            raise BusyError(message, hint="try again") from error


def explained(task: str, stderr: str, denied: str, again: str) -> UserError | SiteError | BusyError:
    """skopeo's last words, by who must act.

    `denied` is what to do when the registry refuses the user, `again` the command that shows skopeo's words again.
    """
    reason = last_words(stderr)
    message = f"cannot {task}: {reason}"
    if "trust policy" in reason:
        return SiteError(message, hint="skopeo needs /etc/containers/policy.json: see containers-policy.json(5)")
    if _DOWN.search(reason):
        return BusyError(message, hint="the registry does not answer: try again, or ask your administrator")
    if re.search(r"unauthorized|authentication required|denied|forbidden|invalid username", reason, re.IGNORECASE):
        return UserError(message, hint=denied)
    if re.search(r"manifest unknown|not found|name unknown|no such host", reason, re.IGNORECASE):
        return UserError(message, hint="check the name and the tag")
    return UserError(message, hint=f"to see it again: {again}")


def last_words(stderr: str) -> str:
    """One line. skopeo logs `level=fatal msg="..."`, quoted as in Go, which for our purpose is JSON."""
    found = re.findall(r'level=fatal msg=("(?:[^"\\]|\\.)*")', stderr)
    text = stderr.strip().rpartition("\n")[2]
    if found:
        try:
            text = str(json.loads(found[-1]))
        except ValueError:
            text = found[-1].strip('"')
    text = _PREFIX.sub("", text)  # it repeats the name that our message begins with
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "skopeo did not say why"
