"""The JSON documents of an image, which strangers write: index, manifest and configuration, validated.

What we do not need is ignored; what we need has exactly the right type. Digests and media types are checked before
anything is made of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from spank_container.errors import ParseError
from spank_container.values.image_ref import Digest, parse_digest

_OCI = "application/vnd.oci.image"
_DOCKER = "application/vnd.docker"
INDEX_TYPES = {f"{_OCI}.index.v1+json", f"{_DOCKER}.distribution.manifest.list.v2+json"}
MANIFEST_TYPES = {f"{_OCI}.manifest.v1+json", f"{_DOCKER}.distribution.manifest.v2+json"}
CONFIG_TYPES = {f"{_OCI}.config.v1+json", f"{_DOCKER}.container.image.v1+json"}
LAYER_TYPES = {f"{_OCI}.layer.v1.tar{end}" for end in ("", "+gzip", "+zstd")} | {
    f"{_DOCKER}.image.rootfs.diff.tar{end}" for end in ("", ".gzip", ".zstd")
}


def _digest(text: str) -> Digest:
    try:
        return parse_digest(text)
    except ParseError as error:
        raise ValueError(error.message) from error


def _text(text: str) -> str:
    # The tasks' environment goes to the plugin as records with a NUL between them.
    if "\0" in text:
        raise ValueError("it has a NUL in it")
    return text


CheckedDigest = Annotated[str, AfterValidator(_digest)]
Text = Annotated[str, AfterValidator(_text)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Platform(_Document):
    """Of an index's entry: for which machines it is."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(_Document):
    """A document or layer by its digest."""

    media_type: str = Field(alias="mediaType")
    digest: CheckedDigest
    size: int = Field(ge=0)
    platform: Platform | None = None


class Index(_Document):
    """One image for several platforms."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    manifests: list[Descriptor]


class Manifest(_Document):
    """One image for one platform. The limit on layers is Docker's 127 with room to spare: each is held open."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    config: Descriptor
    layers: list[Descriptor] = Field(max_length=500)


class RuntimeConfig(_Document):
    """The `config` of a configuration; Docker writes null for empty lists."""

    env: list[Text] | None = Field(alias="Env", default=None)
    entrypoint: list[Text] | None = Field(alias="Entrypoint", default=None)
    cmd: list[Text] | None = Field(alias="Cmd", default=None)
    workdir: Text | None = Field(alias="WorkingDir", default=None)
    user: Text | None = Field(alias="User", default=None)
    labels: dict[Text, Text] | None = Field(alias="Labels", default=None)
    volumes: dict[Text, object] | None = Field(alias="Volumes", default=None)


class RootFs(_Document):
    """One entry a layer."""

    diff_ids: list[CheckedDigest]


class Configuration(_Document):
    """What the manifest's `config` points at."""

    architecture: str
    os: str
    config: RuntimeConfig | None = None
    rootfs: RootFs
