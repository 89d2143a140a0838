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
from typing import TYPE_CHECKING, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from spank_container.errors import BusyError, SiteError, UserError
from spank_container.images.image_config import (
    CONFIG_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    Configuration,
    Descriptor,
    Index,
    Manifest,
)
from spank_container.run import FIXED_ENVIRONMENT, ProgramFailedError, run
from spank_container.values.image_ref import Digest, RegistryRef

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}
# The variants that every machine of an architecture runs.
_PLAIN_VARIANTS = {"", "v1", "v8"}
_LARGEST_DOCUMENT = 4 << 20  # the specification's limit for a manifest
_LARGEST_CONFIG = 1 << 20
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
_D = TypeVar("_D", bound=BaseModel)


def local_architecture() -> str:
    """This machine's, in the words of image indexes."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def passed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What skopeo may see of the environment of the person who pulls: proxies, and where the logins are."""
    return dict(FIXED_ENVIRONMENT) | {name: environment[name] for name in _PASSED & environment.keys()}


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image for one platform, found in its registry: `digest` is that of `manifest`."""

    ref: RegistryRef
    digest: Digest
    manifest: Manifest

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

    def find(self, ref: RegistryRef) -> RemoteImage:
        """What `ref` means in its registry now; UserError when there is no such image for our architecture."""
        data = self._skopeo(ref, "inspect", "--raw", f"docker://{ref.name}")
        digest = ref.digest or Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
        _verify(ref, data, digest)
        if _media_type(ref, data) in INDEX_TYPES:
            digest = Digest(self._chosen(ref, data).digest)
            data = self._skopeo(ref, "inspect", "--raw", f"docker://{ref.registry}/{ref.repository}@{digest}")
            _verify(ref, data, digest)
        return RemoteImage(ref, digest, _manifest(ref, data))

    def configuration(self, image: RemoteImage) -> Configuration:
        """The image's configuration, checked to be for our architecture."""
        descriptor = image.manifest.config
        if descriptor.size > _LARGEST_CONFIG:
            _refuse(image.ref, f"its configuration has {descriptor.size} bytes, {_LARGEST_CONFIG} are allowed")
        data = self._skopeo(image.ref, "inspect", "--config", "--raw", image.source)
        _verify(image.ref, data, Digest(descriptor.digest))
        found = _parse(image.ref, Configuration, data)
        if (found.os, found.architecture) != ("linux", self.architecture):
            _refuse(image.ref, f"it is for {found.os}/{found.architecture}, not for linux/{self.architecture}")
        if len(found.rootfs.diff_ids) != len(image.manifest.layers):
            _refuse(image.ref, "its configuration and its manifest do not have the same number of layers")
        return found

    def download(self, image: RemoteImage, blobs: Path, layout: Path) -> None:
        """Fetch the layers that `blobs` has not got; `layout` is a folder that skopeo needs beside it, rubbish after.

        This is where skopeo applies the site's signature policy, so it is called even when all layers are there.
        """
        options = ["--quiet", "--remove-signatures", "--dest-oci-accept-uncompressed-layers"]
        shared = ["--dest-shared-blob-dir", str(blobs)]
        self._skopeo(
            image.ref, "copy", *options, *shared, image.source, f"oci:{layout}:image", timeout=self.download_time
        )

    def _chosen(self, ref: RegistryRef, data: bytes) -> Descriptor:
        manifests = _parse(ref, Index, data).manifests
        platforms = [(entry, entry.platform) for entry in manifests if entry.platform]
        ours = [
            (platform.variant not in _PLAIN_VARIANTS, number)
            for number, (_, platform) in enumerate(platforms)
            if (platform.os, platform.architecture) == ("linux", self.architecture)
        ]
        if not ours:
            there = sorted({f"{platform.os}/{platform.architecture}" for _, platform in platforms})
            _refuse(ref, f"it is not there for linux/{self.architecture}, only for {', '.join(there) or 'nothing'}")
        return platforms[min(ours)[1]][0]

    def _skopeo(self, ref: RegistryRef, *words: str, timeout: float | None = None) -> bytes:
        timeout = timeout or self.answer_time
        try:
            return run(["skopeo", *words], timeout=timeout, environment=self.environment).stdout
        except ProgramFailedError as error:
            denied = f"check the name; if the image is private: spank-container login {ref.registry}"
            raise explained(f"pull {ref}", error.stderr, denied, f"skopeo inspect docker://{ref.name}") from error
        except BusyError as error:
            message = f"cannot pull {ref}: {ref.registry} did not answer within {timeout:g} s"
            raise BusyError(message, hint="try again") from error


def explained(task: str, stderr: str, denied: str, again: str) -> UserError | SiteError | BusyError:
    """skopeo's last words, by who must act.

    `denied` is what to do when the registry refuses the user, `again` the command that shows skopeo's words again.
    """
    reason = _last_words(stderr)
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


def _last_words(stderr: str) -> str:
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


def _refuse(ref: RegistryRef, why: str) -> NoReturn:
    raise UserError(f"cannot pull {ref}: {why}", hint="the image has to be built again, or another one chosen")


def _verify(ref: RegistryRef, data: bytes, digest: Digest) -> None:
    algorithm, _, wanted = digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != wanted:
        raise BusyError(f"cannot pull {ref}: the registry gave something else than {digest}", hint="try again")


def _media_type(ref: RegistryRef, data: bytes) -> str:
    """Of an index or manifest; the one that says of itself that it is both is refused (CVE-2021-41190)."""
    if len(data) > _LARGEST_DOCUMENT:
        _refuse(ref, f"its manifest has {len(data)} bytes, {_LARGEST_DOCUMENT} are allowed")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        _refuse(ref, "its manifest is no JSON object")
    is_index, is_manifest = "manifests" in document, bool({"config", "layers", "fsLayers"} & document.keys())
    if is_index and is_manifest:
        _refuse(ref, "its manifest says that it is an index too")
    # OCI lets a document go without; then its keys say what it is.
    implied = "application/vnd.oci.image.index.v1+json" if is_index else "application/vnd.oci.image.manifest.v1+json"
    media_type = document.get("mediaType", implied)
    if not isinstance(media_type, str) or media_type not in (INDEX_TYPES if is_index else MANIFEST_TYPES):
        _refuse(ref, f"its manifest is of the unknown type {media_type!a:.100}")
    return media_type


def _manifest(ref: RegistryRef, data: bytes) -> Manifest:
    if _media_type(ref, data) not in MANIFEST_TYPES:
        _refuse(ref, "its index lists another index")
    manifest = _parse(ref, Manifest, data)
    for descriptor, types in ((manifest.config, CONFIG_TYPES), *((layer, LAYER_TYPES) for layer in manifest.layers)):
        if descriptor.media_type not in types:
            _refuse(ref, f"{descriptor.digest} is of the unknown type {descriptor.media_type!a:.100}")
    return manifest


def _parse(ref: RegistryRef, model: type[_D], data: bytes) -> _D:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        _refuse(ref, f"its {model.__name__.lower()} is broken: {where}: {first['msg']}")
