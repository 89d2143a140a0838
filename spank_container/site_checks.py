"""What the types of the site's configuration cannot say: whether a text is a path, a size, a mount or a variable.

Owns a check for each key and its words; never reads a file, and never changes a value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from spank_container.errors import ParseError
from spank_container.values.address import parse_address
from spank_container.values.site_mount import parse_site_mount
from spank_container.values.size import parse_size
from spank_container.values.variables import is_value, is_variable_name, why_protected
from spank_container.values.volume import FILESYSTEMS, typed_path_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_ARCHITECTURE = re.compile(r"[a-z0-9]+", re.ASCII)
_PART = re.compile(r"(?:[1-9]\d?|100)%", re.ASCII)
_LONGEST_WAIT = 60  # seconds: well below what Slurm gives a Prolog


def find_mistakes(document: dict[str, object]) -> list[str]:
    """Each with its key path; a value of the wrong type is not looked at, since that is reported already."""
    return [*_found(document, _TEXTS, str), *_found(document, _NUMBERS, int), *_rivals(document)]


def _found(document: dict[str, object], checks: dict[tuple[str, str], Callable[[T], str]], kind: type[T]) -> list[str]:
    return [
        f"{key}: {value!r} {complaint}"
        for (table, name), complain in checks.items()
        for key, value in _values(document.get(table), table, name)
        if type(value) is kind and (complaint := complain(value))
    ]


def _values(settings: object, table: str, name: str) -> Iterator[tuple[str, object]]:
    value = settings.get(name) if isinstance(settings, dict) else None
    if isinstance(value, list):
        yield from ((f"{table}.{name}[{index}]", one) for index, one in enumerate(value))
    else:
        yield f"{table}.{name}", value


def _rivals(document: dict[str, object]) -> Iterator[str]:
    """Site mounts that want the place of another."""
    first: dict[str, str] = {}
    for key, text in _values(document.get("volumes"), "volumes", "mounts"):
        if isinstance(text, str) and not _mount(text):
            other = first.setdefault(parse_site_mount(text).target, key)
            if other != key:
                yield f"{key}: {text!r} has the same target as {other}"


def _path(text: str) -> str:
    fault = typed_path_fault(text)
    return f"is wrong: {fault[0]}" if fault else ""


def _path_or_none(text: str) -> str:
    return _path(text) if text else ""


def _size(text: str) -> str:
    try:
        parse_size(text)
    except ParseError:
        return "is not a size"
    return ""


def _size_or_none(text: str) -> str:
    return _size(text) if text else ""


def _size_or_part(text: str) -> str:
    return "" if _PART.fullmatch(text) else _size(text)


def _filesystem(text: str) -> str:
    return "" if text in FILESYSTEMS else "is no file system that a cache can have"


def _one_of(*words: str) -> Callable[[str], str]:
    return lambda text: "" if text in words else f"is none of {', '.join(words)}"


def _seconds(number: int) -> str:
    return "" if 1 <= number <= _LONGEST_WAIT else f"is not from 1 to {_LONGEST_WAIT} seconds"


def _mount(text: str) -> str:
    try:
        parse_site_mount(text)
    except ParseError as error:
        return f"is wrong: {error.message}; {error.hint}"
    return ""


def _address(text: str) -> str:
    try:
        parse_address(text)
    except ParseError as error:
        return f"is wrong: {error.message}"
    return ""


def _architecture(text: str) -> str:
    return "" if not text or _ARCHITECTURE.fullmatch(text) else "is no architecture such as amd64 or arm64"


def _level(number: int) -> str:
    return "" if 1 <= number <= 22 else "is no level of zstd, 1 to 22"


def _positive(number: int) -> str:
    return "" if number >= 1 else "is not at least 1"


def _not_negative(number: int) -> str:
    return "" if number >= 0 else "is less than 0"


def _setting(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        return "is not NAME=VALUE"
    return _variable(name) or ("" if is_value(value) else "has a value that no variable can have")


def _variable(name: str) -> str:
    if not is_variable_name(name):
        return "has a name that no variable can have"
    why = why_protected(name)
    return f"is not the site's to change: {why}" if why else ""


_TEXTS: dict[tuple[str, str], Callable[[str], str]] = {
    ("images", "store"): _path,
    ("images", "blob_cache"): _size,
    ("images", "architecture"): _architecture,
    ("images", "block_size"): _one_of("4K", "8K", "16K", "32K", "64K", "128K", "256K", "512K", "1M"),
    ("images", "pull"): _one_of("submit", "never"),
    ("images", "node_cache"): _path_or_none,
    ("images", "node_cache_size"): _size,
    ("scratch", "path"): _path_or_none,
    ("scratch", "max_size"): _size_or_none,
    ("scratch", "filesystems"): _filesystem,
    ("container", "tmp"): _one_of("private", "host", "tmpfs"),
    ("container", "tmp_size"): _size_or_part,
    ("container", "shm_size"): _size_or_part,
    ("container", "writable_size"): _size_or_part,
    ("volumes", "allow"): _path,
    ("volumes", "deny"): _path,
    ("volumes", "read_only"): _path,
    ("volumes", "mounts"): _mount,
    ("environment", "set"): _setting,
    ("environment", "prepend"): _setting,
    ("environment", "append"): _setting,
    ("environment", "unset"): _variable,
    ("gateway", "addresses"): _address,
    ("gateway", "listen"): _address,
    ("gateway", "munge_socket"): _path_or_none,
    ("gateway", "logins"): _path_or_none,
    ("gateway", "state"): _path,
}
_NUMBERS: dict[tuple[str, str], Callable[[int], str]] = {
    ("images", "compression_level"): _level,
    ("images", "pull_timeout"): _positive,
    ("images", "keep_mounted"): _not_negative,
    ("container", "name_service_timeout"): _seconds,
    ("gateway", "workers"): _positive,
    ("gateway", "most_pulls"): _positive,
    ("gateway", "attempts"): _positive,
    ("gateway", "retry_delay"): _not_negative,
    ("gateway", "failure_days"): _not_negative,
    ("gateway", "expire_days"): _not_negative,
    ("gateway", "removal_days"): _not_negative,
}
