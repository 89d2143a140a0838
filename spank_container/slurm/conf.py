"""slurm.conf and plugstack.conf as text: only as much of their grammar as finding our own lines needs.

Never writes these files; they are the site's.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    ReadText = Callable[[Path], str]

_PAIR = re.compile(r"([A-Za-z0-9_\[\]]+)\s*=\s*(\"[^\"]*\"|\S+)")
_INCLUDE = re.compile(r"include\s+(\S+)$", re.IGNORECASE)
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class SlurmConf:
    """The settings that were found, names in lower case, a repeated one as often as it stands there."""

    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    included: tuple[Path, ...] = ()
    missing: tuple[Path, ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        return self.settings.get(name.lower(), ())

    def flags(self, name: str) -> frozenset[str]:
        """A comma-separated setting as lower-case words."""
        return frozenset(word for value in self.values(name) for word in value.lower().split(",") if word)


def read_slurm_conf(path: Path, read_text: ReadText = Path.read_text) -> SlurmConf | None:
    """slurm.conf and what it includes; None when the file itself cannot be read."""
    settings: dict[str, list[str]] = {}
    included: list[Path] = []
    missing: list[Path] = []
    pending = [(path, 0)]
    while pending:
        file, depth = pending.pop(0)
        try:
            text = read_text(file)
        except OSError:
            missing.append(file)
            continue
        included.append(file)
        for line in _lines(text):
            if match := _INCLUDE.match(line):
                # A name without a slash is looked up beside slurm.conf, wherever the including file is.
                if depth < _DEEPEST:
                    pending.append((path.parent / match[1], depth + 1))
                continue
            for name, value in _PAIR.findall(line):
                settings.setdefault(name.lower(), []).append(value.strip('"'))
    if path in missing:
        return None
    return SlurmConf({name: tuple(values) for name, values in settings.items()}, tuple(included[1:]), tuple(missing))


def parse_show_config(text: str) -> SlurmConf:
    """What `scontrol show config` prints; newer releases number repeated ones: Prolog[0]."""
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and value.strip() not in {"(null)", ""}:
            settings.setdefault(re.sub(r"\[\d+\]$", "", name.strip()).lower(), []).append(value.strip())
    return SlurmConf({name: tuple(values) for name, values in settings.items()})


def plugstack_includes(text: str, plugstack: Path, wanted: Path) -> bool:
    """Whether plugstack.conf includes the file `wanted`, by name or by a pattern."""
    for line in _lines(text):
        if match := _INCLUDE.match(line):
            pattern = plugstack.parent / match[1]
            if fnmatch.fnmatchcase(wanted.name, pattern.name) and wanted.parent == pattern.parent:
                return True
    return False


def _lines(text: str) -> Iterator[str]:
    """Lines without comments, a trailing backslash joined with what follows."""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = re.sub(r"(?<!\\)#.*", "", line).strip()
        if stripped:
            yield stripped
