"""Where a task starts and what starts it, by the request and by what the image says of itself.

With srun there is always a command, so an image's CMD is never used for it; as with Docker, the command is what the
entrypoint is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.errors import ParseError, UserError
from spank_container.plan.environment import SUPPORT
from spank_container.plan.ops import WriteFile
from spank_container.values.task import THE_IMAGES, TaskSpec, parse_workdir
from spank_container.values.variables import is_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spank_container.values.image_meta import ImageMeta


def command_records(task: TaskSpec, image: ImageMeta) -> tuple[str, ...]:
    """For the plugin: @/DIR, to work there, and >WORD for each word before the command.

    Raises UserError for what the image should say and does not.
    """
    workdir = [] if task.workdir is None else [f"@{task.workdir or _images_workdir(image)}"]
    return (*workdir, *(f">{word}" for word in _entrypoint(task, image)))


def _entrypoint(task: TaskSpec, image: ImageMeta) -> tuple[str, ...]:
    if task.entrypoint != THE_IMAGES:
        return (task.entrypoint,) if task.entrypoint else ()
    words = _words(image.entrypoint)
    if not words:
        raise UserError("--image-entrypoint: the image has no entrypoint", hint="name one: --image-entrypoint=PROGRAM")
    return words


def _images_workdir(image: ImageMeta) -> str:
    hint = "name one: --image-workdir=/DIR"
    if not image.workdir:
        raise UserError("--image-workdir: the image has no working directory", hint)
    workdir = _usable_workdir(image)
    if not workdir:
        raise UserError(f"--image-workdir: {image.workdir}, which the image says, is no folder to work in", hint)
    return workdir


def _usable_workdir(image: ImageMeta) -> str:
    """Empty where there is none: what an image says of itself may be anything."""
    try:
        return parse_workdir(image.workdir)
    except ParseError:
        return ""


def _words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Empty, too, for what could not be executed: [""] is how Docker takes an entrypoint away."""
    return words if words and words[0] and all(map(is_value, words)) else ()


def files_for_shifter(image: ImageMeta, environment: Iterable[str], why: str) -> list[WriteFile]:
    """What the container's own `shifter --entrypoint`, `--workdir` and `--clearenv` read; a NUL ends each word.

    Written even when empty: a file of that name in the image must not be taken for ours.
    """
    contents = {
        "entrypoint": _lines(_words(image.entrypoint), "\0"),
        "cmd": _lines(_words(image.cmd), "\0"),
        "variables": _lines(environment, "\0"),
        "workdir": _lines(filter(None, [_usable_workdir(image)]), "\n"),
    }
    return [WriteFile(f"{SUPPORT}/{name}", content, why) for name, content in contents.items()]


def _lines(words: Iterable[str], end: str) -> str:
    return "".join(f"{word}{end}" for word in words)
