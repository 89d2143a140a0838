"""The site's one configuration file, with every default: /etc/spank-container/config.toml.

The classes below are the definition; pydantic checks the file against them, and `slurm.conf.d/config.toml.j2` and the
reference page are made from their fields. The hooks read the compiled form, so that they need not import pydantic
(150 ms): see `compile_config` and `read_compiled`.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from spank_container.errors import ParseError, SiteError
from spank_container.values.size import parse_size

if TYPE_CHECKING:
    import os

CONFIG_FILE = Path("/etc/spank-container/config.toml")
_COMPILED_VERSION = 1
_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}


def _setting(default: Any, doc: str) -> Any:  # noqa: ANN401  # dataclasses.field itself is typed so
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class ImagesConfig:
    """[images]: where images are kept."""

    __pydantic_config__ = _STRICT
    store: str = _setting("/var/lib/spank-container", "The image store: a folder that every node sees at this path.")


@dataclass(frozen=True, slots=True)
class ScratchConfig:
    """[scratch]: perNodeCache volumes."""

    __pydantic_config__ = _STRICT
    path: str = _setting(
        "", "A folder of the node's for backing files, in place of the one the user names. Empty: the user's."
    )
    max_size: str = _setting("", "The largest cache a user may ask for, such as 500G. Empty: no limit.")
    filesystems: tuple[str, ...] = _setting(("xfs", "ext4"), "The file systems a user may ask for.")
    overcommit: bool = _setting(
        default=False, doc="Whether a cache may be larger than the space that is free where its file lies."
    )


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """[container]: what every container looks like."""

    __pydantic_config__ = _STRICT
    tmp_size: str = _setting("50%", "The size of the job's private /tmp, in memory: bytes (8G) or a part of it (50%).")
    shm_size: str = _setting("50%", "The size of the job's private /dev/shm, likewise.")
    allow_root: bool = _setting(default=False, doc="Whether root's own jobs may have a container.")


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The whole file; one member a table."""

    __pydantic_config__ = _STRICT
    images: ImagesConfig = field(default_factory=ImagesConfig)
    scratch: ScratchConfig = field(default_factory=ScratchConfig)
    container: ContainerConfig = field(default_factory=ContainerConfig)


def load_config(path: Path = CONFIG_FILE) -> SiteConfig:
    """Read and check the TOML file; a file that is not there means the defaults.

    Raises SiteError that lists every mistake with its key path.
    """
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return SiteConfig()
    except (OSError, ValueError) as error:
        raise SiteError(f"reading the configuration: {error} [{path}]", hint="spank-container check") from error
    return validate_config(document, path)


def validate_config(document: dict[str, Any], path: Path) -> SiteConfig:
    """Check a parsed TOML document; `path` is for the messages only."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # 150 ms, which a hook must not pay

    try:
        # JSON mode: TOML has arrays where the classes have tuples, and strict Python mode refuses these.
        config = TypeAdapter(SiteConfig).validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    else:
        mistakes = list(_mistakes(config))
        if not mistakes:
            return config
    listed = "\n".join(f"    {mistake}" for mistake in mistakes)
    raise SiteError(f"the configuration is wrong [{path}]\n{listed}", hint="spank-container check")


def _mistakes(config: SiteConfig) -> list[str]:
    """What the types cannot say."""
    found = [
        f"{name}: {value!r} is not an absolute path"
        for name, value in [("images.store", config.images.store), ("scratch.path", config.scratch.path)]
        if value and not value.startswith("/")
    ]
    sizes = [
        ("scratch.max_size", config.scratch.max_size),
        ("container.tmp_size", config.container.tmp_size),
        ("container.shm_size", config.container.shm_size),
    ]
    found += [f"{name}: {value!r} is not a size" for name, value in sizes if value and not _is_size(name, value)]
    found += [
        f"scratch.filesystems: {name!r} is neither xfs nor ext4"
        for name in config.scratch.filesystems
        if name not in {"xfs", "ext4"}
    ]
    return found


def _is_size(name: str, text: str) -> bool:
    if name.startswith("container.") and text.endswith("%"):
        return text[:-1].isdecimal() and 0 < int(text[:-1]) <= 100
    try:
        parse_size(text)
    except ParseError:
        return False
    return True


def stamp(status: os.stat_result | None) -> list[int]:
    """What tells one state of the TOML file from another; empty for a file that is not there."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns] if status else []


def compile_config(config: SiteConfig, stamp: list[int]) -> str:
    """The form that hooks read: JSON, ours, so never checked again."""
    return json.dumps({"version": _COMPILED_VERSION, "stamp": stamp, "config": asdict(config)})


def read_compiled(text: str) -> tuple[SiteConfig, list[int]]:
    """What `compile_config` wrote, and its stamp; ValueError when another version of this program wrote it."""
    document = json.loads(text)
    if document.get("version") != _COMPILED_VERSION:
        raise ValueError("compiled by another version")
    hints = get_type_hints(SiteConfig)
    tables = {one.name: hints[one.name](**_tuples(document["config"][one.name])) for one in fields(SiteConfig)}
    return SiteConfig(**tables), document["stamp"]


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
