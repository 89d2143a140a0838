"""What strangers say of an image, checked: index, manifest and configuration, each against its digest.

`task` says what is tried with which image, "pull docker:NAME:TAG", for the words of a refusal. Nothing is fetched here.
"""

from __future__ import annotations

import hashlib
import json
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from spank_container.errors import BusyError, UserError
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
from spank_container.values.image_ref import Digest

LARGEST_CONFIG = 1 << 20
_LARGEST_DOCUMENT = 4 << 20  # the specification's limit for a manifest
# The variants that every machine of an architecture runs.
_PLAIN_VARIANTS = {"", "v1", "v8"}
_D = TypeVar("_D", bound=BaseModel)


def refuse(task: str, why: str) -> NoReturn:
    raise UserError(f"cannot {task}: {why}", hint="the image has to be built again, or another one chosen")


def verify(task: str, data: bytes, digest: Digest) -> None:
    algorithm, _, wanted = digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != wanted:
        raise BusyError(f"cannot {task}: this is something else than {digest}", hint="try again")


def _media_type(task: str, data: bytes) -> str:
    """Of an index or manifest; the one that says of itself that it is both is refused (CVE-2021-41190)."""
    if len(data) > _LARGEST_DOCUMENT:
        refuse(task, f"its manifest has {len(data)} bytes, {_LARGEST_DOCUMENT} are allowed")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        refuse(task, "its manifest is no JSON object")
    lists, is_manifest = "manifests" in document, bool({"config", "layers", "fsLayers"} & document.keys())
    if lists and is_manifest:
        refuse(task, "its manifest says that it is an index too")
    # OCI lets a document go without; then its keys say what it is.
    implied = "application/vnd.oci.image.index.v1+json" if lists else "application/vnd.oci.image.manifest.v1+json"
    said = document.get("mediaType", implied)
    if not isinstance(said, str) or said not in (INDEX_TYPES if lists else MANIFEST_TYPES):
        refuse(task, f"its manifest is of the unknown type {said!a:.100}")
    return said


def read_manifest(task: str, data: bytes) -> Manifest:
    if _media_type(task, data) not in MANIFEST_TYPES:
        refuse(task, "its index lists another index")
    manifest = _parse(task, Manifest, data)
    for descriptor, types in ((manifest.config, CONFIG_TYPES), *((layer, LAYER_TYPES) for layer in manifest.layers)):
        if descriptor.media_type not in types:
            refuse(task, f"{descriptor.digest} is of the unknown type {descriptor.media_type!a:.100}")
    return manifest


def chosen(task: str, data: bytes, architecture: str) -> Descriptor:
    """The entry of an index that suits the architecture best."""
    manifests = _parse(task, Index, data).manifests
    platforms = [(entry, entry.platform) for entry in manifests if entry.platform]
    ours = [
        (platform.variant not in _PLAIN_VARIANTS, number)
        for number, (_, platform) in enumerate(platforms)
        if (platform.os, platform.architecture) == ("linux", architecture)
    ]
    if not ours:
        there = sorted({f"{platform.os}/{platform.architecture}" for _, platform in platforms})
        refuse(task, f"it is not there for linux/{architecture}, only for {', '.join(there) or 'nothing'}")
    return platforms[min(ours)[1]][0]


def read_configuration(task: str, data: bytes, manifest: Manifest, architecture: str) -> Configuration:
    """The configuration that the manifest names, which must be for `architecture`."""
    verify(task, data, Digest(manifest.config.digest))
    found = _parse(task, Configuration, data)
    if (found.os, found.architecture) != ("linux", architecture):
        refuse(task, f"it is for {found.os}/{found.architecture}, not for linux/{architecture}")
    if len(found.rootfs.diff_ids) != len(manifest.layers):
        refuse(task, "its configuration and its manifest do not have the same number of layers")
    return found


def is_index(task: str, data: bytes) -> bool:
    """Whether the document is one for several platforms, and not one for a single image."""
    return _media_type(task, data) in INDEX_TYPES


def _parse(task: str, model: type[_D], data: bytes) -> _D:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        refuse(task, f"its {model.__name__.lower()} is broken: {where}: {first['msg']}")
