"""ImageMeta as the JSON file beside each image, and back.

We wrote the file ourselves, so it is read back without pydantic, whose import would cost the Prolog more than all the
rest; what does not have exactly the shape that `encode` gives is refused, never guessed at.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from spank_container.errors import ParseError
from spank_container.values.access import Access
from spank_container.values.image_meta import Findings, ImageMeta, Libc, MpiLibrary
from spank_container.values.image_ref import parse_digest

VERSION = 2
_NEW = {"volumes", "findings"}  # since version 2; those of version 1 are read all the same
_KEYS = {field.name for field in fields(ImageMeta)} - {"access"} | {"version"}


def encode(meta: ImageMeta) -> bytes:
    """ASCII only: a lone surrogate, which stands for a byte that is not UTF-8, survives as an escape."""
    document = {"version": VERSION, **asdict(meta)}
    if meta.access is None:
        del document["access"]
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def decode(data: bytes) -> ImageMeta:
    """Raises ValueError, with the reason, for anything that `encode` does not give."""
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict) or found.get("version") not in {1, VERSION}:
        raise ValueError(f"this is not version {VERSION} of an image's description")
    wanted = _KEYS - _NEW if found["version"] == 1 else _KEYS
    if found.keys() - {"access"} != wanted:
        raise ValueError(f"wrong keys: {', '.join(sorted(found.keys() ^ wanted))}")
    if type(found["size"]) is not int or found["size"] < 0:
        raise ValueError("size is no size")
    try:
        digest = parse_digest(_text(found, "digest"))
    except ParseError as error:
        raise ValueError(error.message) from error
    return ImageMeta(
        digest=digest,
        architecture=_text(found, "architecture"),
        size=found["size"],
        environment=_texts(found, "environment"),
        entrypoint=_texts(found, "entrypoint"),
        cmd=_texts(found, "cmd"),
        workdir=_text(found, "workdir"),
        user=_text(found, "user"),
        labels=_pairs(found, "labels"),
        passwd=_text(found, "passwd"),
        group=_text(found, "group"),
        volumes=_texts(found, "volumes") if "volumes" in found else (),
        findings=_findings(found["findings"]) if "findings" in found else Findings(),
        access=_access(found["access"]) if "access" in found else None,
    )


def _findings(found: object) -> Findings:
    keys = _object(found, ("libc", "mpi", "interpreters"))
    libc = _object(keys["libc"], ("name", "version"))
    libraries = [_object(item, ("path", "soname")) for item in _list(keys, "mpi", "libraries")]
    return Findings(
        Libc(_text(libc, "name"), _text(libc, "version")),
        tuple(MpiLibrary(_text(library, "path"), _text(library, "soname")) for library in libraries),
        _texts(keys, "interpreters"),
    )


def _object(found: object, keys: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(found, dict) or tuple(found) != keys:
        raise ValueError(f"an object has not the keys {', '.join(keys)}")
    return found


def _access(found: object) -> Access:
    if not isinstance(found, dict) or found.keys() != {"owner", "users", "groups"}:
        raise ValueError("access does not say who may use the image")
    users, groups = found["users"], found["groups"]
    if not isinstance(users, list) or not isinstance(groups, list):
        raise ValueError("access has no lists")  # noqa: TRY004  one exception for one fault: the file is broken
    if not all(type(number) is int for number in (found["owner"], *users, *groups)):
        raise ValueError("access has what is no number")
    return Access(found["owner"], tuple(users), tuple(groups))


def _text(found: dict[str, object], name: str) -> str:
    value = found[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")  # noqa: TRY004  one exception for one fault: the file is broken
    return value


def _list(found: dict[str, object], name: str, what: str) -> list[object]:
    value = found[name]
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list of {what}")  # noqa: TRY004  as above
    return value


def _texts(found: dict[str, object], name: str, what: str = "texts") -> tuple[str, ...]:
    value = found[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} is no list of {what}")
    return tuple(value)


def _pairs(found: dict[str, object], name: str) -> tuple[tuple[str, str], ...]:
    pairs = [_texts({name: item}, name, "pairs") for item in _list(found, name, "pairs")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name} is no list of pairs")
    return tuple((pair[0], pair[1]) for pair in pairs)
