"""What must be on a machine that has spank-container: options and facts to files. Pure, but for reading templates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container import render
from spank_container.errors import UserError
from spank_container.facts import SUPPORT_LINK
from spank_container.site_config import CONFIG_FILE

if TYPE_CHECKING:
    from spank_container.slurm.release import SlurmRelease

_PROGRAMS = ("spank-container", "shifterimg")
_ON_PATH = Path("/usr/local/bin/spank-container")
# plugstack.conf has no quoting: white space ends a word and # begins a comment, anywhere (Slurm 26.05 spank.c:289-329).
_PLAIN = re.compile(r"/[A-Za-z0-9._+@/-]*")


def is_plain(path: Path) -> bool:
    """Whether it can stand in Slurm's files and in scripts as it is."""
    return bool(_PLAIN.fullmatch(str(path))) and path != Path("/") and ".." not in path.parts


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """`root` is the tree of a node image to install into; every other path is as that node will see it."""

    prefix: Path = Path("/opt/spank-container")
    slurm_conf_dir: Path = Path("/etc/slurm")
    root: Path = Path("/")
    slurm_include: Path = Path("/usr/include")
    dry_run: bool = False

    def __post_init__(self) -> None:
        for path in (self.prefix, self.slurm_conf_dir):
            if not is_plain(path):
                raise UserError(
                    f"{str(path)!r} cannot be written into plugstack.conf",
                    hint="give an absolute path of letters, digits and . _ + @ -",
                )

    def in_root(self, path: Path) -> Path:
        """Where `path`, as the node sees it, is written now."""
        return self.root / path.relative_to("/")

    @property
    def manifest(self) -> Path:
        return self.prefix / "share" / "installed.json"

    @property
    def plugstack_file(self) -> Path:
        return self.slurm_conf_dir / "plugstack.conf.d" / "spank-container.conf"

    @property
    def slurm_conf_snippet(self) -> Path:
        return self.slurm_conf_dir / "spank-container.slurm.conf"


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A manual page or a shell's completions: `path` is below PREFIX/share; `link` where programs look by themselves."""

    path: str
    text: str
    link: Path | None = None


@dataclass(frozen=True, slots=True)
class InstallFacts:
    """What the machine says: the plugin, compiled for `release`, the container's `shifter`, the Python that runs us; and
    what the command line says of itself."""

    release: SlurmRelease
    plugin: bytes
    shifter: bytes
    venv: Path
    shared: tuple[SharedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """`sites_own`: once the site has changed it, it is left alone."""

    path: Path
    content: bytes
    mode: int = 0o644
    sites_own: bool = False


@dataclass(frozen=True, slots=True)
class PlannedLink:
    """A symbolic link."""

    path: Path
    target: str


Planned = PlannedFile | PlannedLink


def plugin_path(prefix: Path, release: SlurmRelease) -> Path:
    """One folder a release: Slurm is upgraded node by node, and each slurmd finds the plugin that it can load."""
    return prefix / "lib" / f"slurm-{release}" / "spank_container.so"


def plan_files(options: InstallOptions, facts: InstallFacts) -> tuple[Planned, ...]:
    """In the order of writing: whatever makes Slurm use the rest comes last."""
    return (*_prefix_files(options, facts), *_shared_files(options, facts), *_slurm_files(options, facts))


def _prefix_files(options: InstallOptions, facts: InstallFacts) -> tuple[Planned, ...]:
    prefix, units = options.prefix, options.prefix / "lib" / "systemd" / "system"
    return (
        PlannedFile(plugin_path(prefix, facts.release), facts.plugin, 0o755),
        PlannedFile(prefix / "container" / "bin" / "shifter", facts.shifter, 0o755),
        # Where the hooks look for it, whatever the prefix: they know of nothing but their own Python.
        PlannedLink(facts.venv / SUPPORT_LINK, str(prefix / "container")),
        *(PlannedLink(prefix / "bin" / name, _link_target(prefix, facts.venv, name)) for name in _PROGRAMS),
        PlannedLink(_ON_PATH, str(prefix / "bin" / "spank-container")),
        _text(prefix / "bin" / "shifter", render.host_shifter(), 0o755),
        _text(prefix / "modulefiles" / "shifter", render.render("modulefile", prefix=prefix)),
        *(
            _text(
                units / f"spank-container-sweep.{kind}", render.render(f"spank-container-sweep.{kind}", prefix=prefix)
            )
            for kind in ("service", "timer")
        ),
        _text(
            units / "spank-container-gateway.service",
            render.render("spank-container-gateway.service", prefix=prefix),
        ),
    )


def _shared_files(options: InstallOptions, facts: InstallFacts) -> tuple[Planned, ...]:
    share = options.prefix / "share"
    return (
        *(_text(share / one.path, one.text) for one in facts.shared),
        *(PlannedLink(one.link, str(share / one.path)) for one in facts.shared if one.link),
    )


def _slurm_files(options: InstallOptions, facts: InstallFacts) -> tuple[Planned, ...]:
    prefix, slurm = options.prefix, options.slurm_conf_dir
    return (
        PlannedFile(CONFIG_FILE, render.config_toml().encode(), sites_own=True),
        *(
            _text(slurm / f"{name}.d" / "50-spank-container", render.hook(name, prefix, facts.venv), 0o755)
            for name in ("prolog", "epilog")
        ),
        _text(options.slurm_conf_snippet, render.render("slurm.conf", slurm_conf_dir=slurm)),
        _text(options.plugstack_file, render.render("plugstack.conf", prefix=prefix, release=facts.release)),
    )


def _text(path: Path, text: str, mode: int = 0o644) -> PlannedFile:
    return PlannedFile(path, text.encode(), mode)


def _link_target(prefix: Path, venv: Path, name: str) -> str:
    program = venv / "bin" / name
    return f"../{program.relative_to(prefix)}" if program.is_relative_to(prefix) else str(program)
