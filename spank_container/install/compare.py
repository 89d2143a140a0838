"""What differs between the plan and the machine, as steps in words; a step knows its diff."""

from __future__ import annotations

import difflib
import stat
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from spank_container.install.manifest import fingerprint, fingerprint_on_disk
from spank_container.install.plan import PlannedFile, PlannedLink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spank_container.install.manifest import Manifest
    from spank_container.install.plan import Planned


class Action(Enum):
    """What is done with one file; the value is the word for it."""

    CREATE = "create"
    UPDATE = "update"
    SAME = "same"
    KEEP = "keep"
    REMOVE = "remove"
    GONE = "gone"


_CHANGES = {Action.CREATE, Action.UPDATE, Action.REMOVE}


@dataclass(frozen=True, slots=True)
class Step:
    """`present` is where `path` lies now, below the root that is installed into; `planned` is None for a removal."""

    action: Action
    path: Path
    present: Path
    planned: Planned | None = None

    def describe(self) -> str:
        why = "  (the site changed it)" if self.action is Action.KEEP else ""
        return f"{self.action.value:<7}{self.path}{_detail(self.planned)}{why}"

    def diff(self) -> str:
        """Unified, for text that is written; empty otherwise."""
        if self.action not in _CHANGES or not isinstance(self.planned, PlannedFile):
            return ""
        try:
            old = self.present.read_text().splitlines(keepends=True) if self.action is Action.UPDATE else []
            new = self.planned.content.decode().splitlines(keepends=True)
        except UnicodeDecodeError:
            return "    (not text)\n"
        return "".join(difflib.unified_diff(old, new, str(self.path), str(self.path)))


def _detail(planned: Planned | None) -> str:
    match planned:
        case PlannedFile(mode=mode):
            return f"  {mode:04o}"
        case PlannedLink(target=target):
            return f" -> {target}"
        case None:
            return ""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, or would be; `advice` is what the administrator has to do."""

    steps: tuple[Step, ...]
    advice: tuple[str, ...]
    dry_run: bool

    @property
    def changed(self) -> bool:
        return any(step.action in _CHANGES for step in self.steps)

    def text(self, *, color: bool = False) -> str:
        """For standard output; `color` for the diffs of a dry run."""
        lines: list[str] = []
        for step in self.steps:
            if step.action is Action.SAME and not self.dry_run:
                continue
            lines.append(step.describe())
            if self.dry_run and (diff := step.diff()):
                lines += [_coloured(line) if color else line for line in diff.splitlines()]
        if not self.changed:
            lines.append("nothing to change")
        if self.advice:
            lines += ["", "To do by hand:", *(f"  - {one}" for one in self.advice)]
        return "\n".join(lines)


def _coloured(line: str) -> str:
    colour = {"+": 32, "-": 31, "@": 36}.get(line[:1])
    return f"\x1b[{colour}m{line}\x1b[0m" if colour else line


def compare(planned: Iterable[Planned], manifest: Manifest, root: Path) -> tuple[Step, ...]:
    """The plan against the machine."""
    steps = []
    for one in planned:
        present = root / one.path.relative_to("/")
        steps.append(Step(_action(one, present, manifest), one.path, present, one))
    return tuple(steps)


def _action(planned: Planned, present: Path, manifest: Manifest) -> Action:
    on_disk = fingerprint_on_disk(present)
    if on_disk is None:
        return Action.CREATE
    wanted = fingerprint(planned.content if isinstance(planned, PlannedFile) else planned.target)
    if on_disk == wanted:
        return Action.SAME if _same_mode(planned, present) else Action.UPDATE
    if isinstance(planned, PlannedFile) and planned.sites_own and manifest.written.get(planned.path) != on_disk:
        return Action.KEEP
    return Action.UPDATE


def _same_mode(planned: Planned, present: Path) -> bool:
    return isinstance(planned, PlannedLink) or stat.S_IMODE(present.stat().st_mode) == planned.mode


def compare_removal(manifest: Manifest, root: Path) -> tuple[Step, ...]:
    """What was written, the last first: so Slurm stops using the rest before the rest goes."""
    steps = []
    for path, written in reversed(list(manifest.written.items())):
        present = root / path.relative_to("/")
        on_disk = fingerprint_on_disk(present)
        action = Action.GONE if on_disk is None else Action.REMOVE if on_disk == written else Action.KEEP
        steps.append(Step(action, path, present))
    return tuple(steps)
