"""Imports go down only (DESIGN 3). The table is the architecture; a new arrow is a decision, made here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "spank_container"

# Rooms from the bottom up: a room may import from rooms that stand above it in this list (earlier), never from later
# ones; "leaf" rooms name the only rooms that they may know.
ROOMS = [
    "__init__",
    "errors",
    "values",
    "run",
    "log",
    "kernel",
    "request",
    "site_checks",
    "site_config",
    "plan",
    "state",
    "images",
    "executor",
    "name_service",
    "facts",
    "slurm",
    "gateway",
    "library",
    "render",
    "pinning",
    "environment_file",
    "submit",
    "planning",
    "explain",
    "lifecycle",
    "install",
    "doctor",
    "commands",
    "cli",
    "shifterimg",
    "__main__",
]
ONLY = {
    "errors": set(),
    "values": {"errors"},
    "run": {"errors"},
    "kernel": {"errors"},
    "plan": {"errors", "values", "request", "site_config"},
    "request": {"errors", "values"},
    "site_checks": {"errors", "values"},
}
# One room each may import these, and no other: the seam can then be changed in one place.
SOLE_IMPORTERS = {
    "ctypes": "kernel",
    "subprocess": "run",
    "pyslurm": "slurm",
    "jinja2": "render",
    "shtab": "commands",
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS, f"{room}: give it a place in ROOMS"
    for name in imports_of(path):
        top = name.split(".")[0]
        assert SOLE_IMPORTERS.get(top, room) == room, f"{path}: {top} is {SOLE_IMPORTERS[top]}'s to import"
        if top != "spank_container":
            continue
        parts = name.split(".")
        target = parts[1] if parts[1:] and parts[1] in ROOMS else "__init__"
        if target == room:
            continue
        assert ROOMS.index(target) < ROOMS.index(room), f"{path}: {room} must not import {target}"
        assert target in ONLY.get(room, {target}) | {"__init__"}, f"{path}: {room} may not know {target}"
