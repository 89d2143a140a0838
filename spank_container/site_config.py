"""The site's one configuration file, with every default: /etc/spank-container/config.toml.

The classes below are the definition; pydantic checks the file against them, and `slurm.conf.d/config.toml.j2` and the
reference page are made from their fields. The hooks read the compiled form, so that they need not import pydantic
(150 ms): see `compile_config` and `read_compiled`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from spank_container.errors import SiteError
from spank_container.site_checks import find_mistakes
from spank_container.values.image_format import ImageFormat
from spank_container.values.size import parse_size

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
    blob_cache: str = _setting(
        "20G", "How much of compressed layers is kept, so that a shared base is downloaded once."
    )
    pull: str = _setting(
        "submit", "Whether an image that is not in the store is pulled at submit, by the gateway: submit or never."
    )
    architecture: str = _setting(
        "", "Which images of several architectures offer, such as arm64. Empty: those for the machine that pulls."
    )
    compression_level: int = _setting(3, "How hard zstd tries, 1 to 22; higher takes much longer and gains little.")
    block_size: str = _setting(
        "128K", "The block of a squashfs, a power of 2: 4K to 1M. Larger ones are slower to read."
    )
    pull_timeout: int = _setting(600, "How many seconds a node waits for an image that is still being pulled.")
    keep_mounted: int = _setting(0, "How many seconds an image stays mounted on a node after its last job.")
    node_cache: str = _setting("", "A folder on each node's own disk for copies of images. Empty: jobs read the store.")
    node_cache_size: str = _setting("50G", "How much it may hold; the images that no job used for longest go.")
    advertise: bool = _setting(
        default=False, doc="Whether nodes tell Slurm which images they have, as features: spank_container, image_HEX."
    )

    @property
    def wanted(self) -> ImageFormat:
        return ImageFormat(self.architecture, self.compression_level, parse_size(self.block_size))


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
        default=False,
        doc="Whether caches may be promised more room than there is. Otherwise it is reserved for them at once.",
    )


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """[container]: what every container looks like."""

    __pydantic_config__ = _STRICT
    tmp: str = _setting(
        "tmpfs",
        "What /tmp is: tmpfs (the job's own, in memory), private (the job's own, on disk) or host (the node's).",
    )
    tmp_size: str = _setting("50%", "The size of the job's /tmp in memory: bytes (8G) or a part of the memory (50%).")
    shm_size: str = _setting("50%", "The size of the job's private /dev/shm, likewise.")
    writable: bool = _setting(default=False, doc="Whether every container can be written to, as by --image-writable.")
    writable_size: str = _setting("50%", "The most that can be written to it where the user gives no size, likewise.")
    allow_root: bool = _setting(default=False, doc="Whether root's own jobs may have a container.")
    name_service_timeout: int = _setting(10, "How many seconds the name service may take to tell the user's groups.")


@dataclass(frozen=True, slots=True)
class VolumesConfig:
    """[volumes]: what of the host users may have in a container, and what everybody has."""

    __pydantic_config__ = _STRICT
    allow: tuple[str, ...] = _setting((), "Folders of the host: volumes must lie in one of them. Empty: anywhere.")
    deny: tuple[str, ...] = _setting((), "Folders of the host that no volume may show, whatever is allowed.")
    read_only: tuple[str, ...] = _setting((), "Folders of the host whose volumes are read-only, whatever users write.")
    mounts: tuple[str, ...] = _setting(
        (), "What every container has of the host: SOURCE[:TARGET][:ro|rw][:optional]. Optional: nodes may lack it."
    )


@dataclass(frozen=True, slots=True)
class EnvironmentConfig:
    """[environment]: variables that every task gets, over the image's own."""

    __pydantic_config__ = _STRICT
    set: tuple[str, ...] = _setting((), "Variables to set: NAME=VALUE.")
    prepend: tuple[str, ...] = _setting((), "What to put before a variable's value, with a colon: NAME=VALUE.")
    append: tuple[str, ...] = _setting((), "What to put behind a variable's value, with a colon: NAME=VALUE.")
    unset: tuple[str, ...] = _setting((), "Variables to take away: NAME.")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """[gateway]: the service that fetches images and looks after the store, and how it is reached."""

    __pydantic_config__ = _STRICT
    addresses: tuple[str, ...] = _setting(
        (),
        "Where it is found, unix:/PATH or HOST:PORT, the first that answers. Empty: there is none, and whoever may "
        "write the store pulls.",
    )
    listen: tuple[str, ...] = _setting(
        ("unix:/run/spank-container-gateway/socket",), "Where it listens; on HOST:PORT it wants MUNGE credentials."
    )
    account: str = _setting("spank-container", "The account it runs as, which owns the store.")
    munge_socket: str = _setting("", "The socket of the munged to use. Empty: MUNGE's own default.")
    state: str = _setting("/var/lib/spank-container-gateway", "The folder of its database.")
    logins: str = _setting(
        "",
        "A file as skopeo login writes it, for the gateway alone: what these logins open is everybody's. They raise a "
        "registry's limits, too.",
    )
    admins: tuple[str, ...] = _setting(("root",), "Users who may see and remove every image.")
    admin_groups: tuple[str, ...] = _setting((), "Groups whose members may.")
    workers: int = _setting(2, "How many images are pulled at the same time.")
    most_pulls: int = _setting(100, "How many unfinished pulls one user may have.")
    attempts: int = _setting(5, "How often a pull is tried when the registry does not answer.")
    retry_delay: int = _setting(10, "Seconds before the second attempt; each further one waits three times as long.")
    failure_days: int = _setting(7, "How many days a pull that is over stays in the list, with the reason.")
    expire_days: int = _setting(0, "After how many days without a use an image is removed. 0: never.")
    removal_days: int = _setting(
        14, "How many days the file of a removed image stays where Slurm cannot be asked for the jobs that may read it."
    )


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The whole file; one member a table."""

    __pydantic_config__ = _STRICT
    images: ImagesConfig = field(default_factory=ImagesConfig)
    scratch: ScratchConfig = field(default_factory=ScratchConfig)
    container: ContainerConfig = field(default_factory=ContainerConfig)
    volumes: VolumesConfig = field(default_factory=VolumesConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)


def load_config(path: Path = CONFIG_FILE) -> SiteConfig:
    """Read and check the TOML file; a file that is not there means the defaults.

    Raises SiteError that lists every mistake with its key path.
    """
    import tomllib  # noqa: PLC0415  # for hooks there is the compiled form

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return SiteConfig()
    except (OSError, ValueError, RecursionError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else error
        raise SiteError(f"reading the configuration: {why} [{path}]", hint="spank-container check") from error
    return validate_config(document, path)


def validate_config(document: dict[str, Any], path: Path) -> SiteConfig:
    """Check a parsed TOML document; `path` is for the messages only."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # 150 ms, which a hook must not pay

    try:
        # JSON mode: TOML has arrays where the classes have tuples, and strict Python mode refuses these. JSON has no
        # dates, and no setting is one: what stands in their place must suit none either.
        config = TypeAdapter(SiteConfig).validate_json(json.dumps(document, default=lambda _date: None))
    except ValidationError as error:
        mistakes = [*map(_mistyped, error.errors()), *find_mistakes(document)]
    else:
        mistakes = find_mistakes(document)
        if not mistakes:
            return config
    listed = "\n".join(f"    {mistake}" for mistake in mistakes)
    raise SiteError(f"the configuration is wrong [{path}]\n{listed}", hint="spank-container check")


def _mistyped(error: ErrorDetails) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    words = {"unexpected_keyword_argument": "there is no such setting", "dataclass_type": "this is no table"}
    return f"{key}: {words.get(error['type'], error['msg'])}"


def stamp(status: os.stat_result | None) -> list[int]:
    """What tells one state of the TOML file from another; empty for a file that is not there."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns] if status else []


def compile_config(config: SiteConfig, stamp: list[int]) -> str:
    """The form that hooks read: JSON, ours, so never checked again."""
    return json.dumps({"version": _COMPILED_VERSION, "stamp": stamp, "config": asdict(config)})


def read_compiled(text: str) -> tuple[SiteConfig, list[int]]:
    """What `compile_config` wrote, and its stamp; ValueError when another version of this program wrote it."""
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("version") != _COMPILED_VERSION:
        raise ValueError("compiled by another version")
    hints = get_type_hints(SiteConfig)
    tables = {one.name: hints[one.name](**_tuples(document["config"][one.name])) for one in fields(SiteConfig)}
    return SiteConfig(**tables), document["stamp"]


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
