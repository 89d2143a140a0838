"""What a user types after --image=, as a value.

docker:NAME[:TAG][@DIGEST] names an image in a registry, by Docker Hub's rules (docker.io, library/, latest);
custom:NAME[:TAG] one that was imported from a file, id:DIGEST any that is in the store. `docker:` may be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from spank_container.errors import ParseError

Digest = NewType("Digest", str)
"""sha256:HEX or sha512:HEX, checked by `parse_digest`: safe as a part of a file name once `:` is `-`."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?", re.ASCII)
_LONGEST = 255
_CUSTOM = "custom:"
_NOT_HERE = {"local"}  # Shifter's other kind


@dataclass(frozen=True, slots=True)
class RegistryRef:
    """An image in a registry; `digest`, when there is one, wins over `tag`, which may then be empty."""

    registry: str
    repository: str
    tag: str
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """The reference as containers-image programs take it, behind docker://."""
        if self.digest:
            return f"{self.registry}/{self.repository}@{self.digest}"
        return f"{self.registry}/{self.repository}:{self.tag}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"docker:{self.registry}/{self.repository}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class ImportedRef:
    """An image that came from a file, under the name that its importer gave it."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"custom:{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class ImageId:
    """An image in the store, by its digest."""

    digest: Digest

    def __str__(self) -> str:
        return f"id:{self.digest}"


ImageRef = RegistryRef | ImportedRef | ImageId


@dataclass(frozen=True, slots=True)
class PinnedImage:
    """A reference that was resolved, once, at submit; the tag may move, the job does not."""

    reference: ImageRef
    digest: Digest


def parse_digest(text: str) -> Digest:
    """Raises ParseError unless `text` is a whole sha256 or sha512 digest (CVE-2024-3727, CVE-2022-39237)."""
    if not _DIGEST.fullmatch(text):
        raise ParseError(
            "this is no digest", text, (0, len(text)), hint="a digest is sha256: and 64 hexadecimal digits"
        )
    return Digest(text)


def parse_image_ref(text: str) -> ImageRef:
    """Read what the user typed after --image=; ParseError points at what is wrong."""
    if not text:
        raise _empty(text, 0)
    _check_kind(text)
    if text.startswith("id:"):
        return ImageId(_digest_at(text, 3))
    if text.startswith(_CUSTOM):
        return parse_imported_ref(text)
    return _registry_ref(text, len("docker:") if text.startswith("docker:") else 0)


def _check_kind(text: str) -> None:
    """What looks like another program's notation is not taken for a name in a registry."""
    kind, colon, _ = text.partition(":")
    hint = "write docker:NAME:TAG, custom:NAME:TAG or id:DIGEST"
    if colon and kind in _NOT_HERE:
        raise ParseError(f"--image: there are no {kind}: images here", text, (0, len(kind) + 1), hint)
    if "://" in text:
        start = text.index("://") + 1
        raise ParseError("--image: a URL is no image name", text, (start, start + 2), hint)


def _empty(text: str, start: int) -> ParseError:
    hint = "give an image, as docker:debian:trixie"
    return ParseError("--image: the name is empty", text, (start, start + 1), hint)


def _registry_ref(text: str, start: int) -> RegistryRef:
    name_end = text.find("@", start)
    digest = None
    if name_end < 0:
        name_end = len(text)
    else:
        digest = _digest_at(text, name_end + 1)
    name_end, tag = _tag_before(text, start, name_end)
    tag = tag or ("" if digest else "latest")
    registry, repository = _registry_and_repository(text, start, name_end)
    return RegistryRef(registry, repository, tag, digest)


def parse_imported_ref(text: str) -> ImportedRef:
    """NAME[:TAG], with or without custom: before it."""
    start = len(_CUSTOM) if text.startswith(_CUSTOM) else 0
    name_end, tag = _tag_before(text, start, len(text))
    _check_repository(text, start, name_end)
    return ImportedRef(text[start:name_end], tag or "latest")


def _tag_before(text: str, start: int, end: int) -> tuple[int, str]:
    """Where the name ends, and the tag behind it, if there is one."""
    colon = text.rfind(":", max(start, text.rfind("/", start, end)), end)
    tag = _tag_at(text, colon + 1, end) if colon >= 0 else ""
    end = colon if colon >= 0 else end
    if end == start:
        raise _empty(text, start)
    return end, tag


def _digest_at(text: str, start: int) -> Digest:
    try:
        return parse_digest(text[start:])
    except ParseError as error:
        raise ParseError(f"--image: {error.message}", text, (start, max(start + 1, len(text))), error.hint) from None


def _tag_at(text: str, start: int, end: int) -> str:
    tag = text[start:end]
    if not tag:
        raise ParseError(
            "--image: the tag is empty",
            text,
            (start, start + 1),
            hint="give a tag (app:1.2) or a digest (app@sha256:...)",
        )
    if not _TAG.fullmatch(tag):
        raise ParseError(
            "--image: this is no tag", text, (start, end), hint="letters, digits, '_', '.' and '-', 128 at most"
        )
    return tag


def _registry_and_repository(text: str, start: int, end: int) -> tuple[str, str]:
    first, slash, rest = text[start:end].partition("/")
    registry = "docker.io"
    if slash and (first == "localhost" or "." in first or ":" in first):
        if len(first) > _LONGEST or not _REGISTRY.fullmatch(first):
            raise ParseError(
                "--image: this is no registry", text, (start, start + len(first)), hint="write HOST or HOST:PORT"
            )
        registry, start = first, start + len(first) + 1
    else:
        rest = text[start:end]
    _check_repository(text, start, end)
    if registry == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    return registry, rest


def _check_repository(text: str, start: int, end: int) -> None:
    hint = "lower-case letters and digits, with '.', '_', '-' and '/' between them"
    if end - start > _LONGEST:
        raise ParseError("--image: the name is too long", text, (start, end), hint=f"{_LONGEST} characters at most")
    for component in text[start:end].split("/"):
        if not _COMPONENT.fullmatch(component):
            raise ParseError("--image: this is no image name", text, (start, start + max(1, len(component))), hint)
        start += len(component) + 1
