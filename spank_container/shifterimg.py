"""shifterimg, as Shifter's users and scripts know it: images, lookup, pull, pullnb, login, expire, autoexpire.

Beside Shifter's own: a pull that fails says why and has a status that is not 0, and -u and -g work.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from spank_container.errors import SpankContainerError
from spank_container.site_config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spank_container.library import Audience, Library

_FAILURE = 1  # Shifter has no other


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one mode; the status is 0, or 1 for whatever went wrong."""
    options = _parser().parse_args(arguments)
    try:
        status = _MODES[options.mode](options)
    except SpankContainerError as error:
        status = _FAILURE
        if options.mode != "lookup" or options.verbose:  # scripts ask whether an image is there
            print(f"shifterimg: {error.report()}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shifterimg", description="Shifter's way to images; spank-container pull, images and image do the same."
    )
    parser.add_argument("-u", "--user", metavar="NAMES", default="", help="users who may use a private image: a,b")
    parser.add_argument("-g", "--group", metavar="NAMES", default="", help="groups who may")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("mode", choices=sorted(_MODES))
    parser.add_argument("image", nargs="?", default="", metavar="TYPE:TAG", help="docker:debian:trixie; a registry")
    return parser


def _library() -> Library:
    from spank_container.library import open_library  # noqa: PLC0415  # --help need not load it

    return open_library(load_config(), os.environ)


def _images(_options: argparse.Namespace) -> int:
    rows = []
    for image in _library().images():
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(image.created))
        for name in image.names:
            kind, _, tag = name.partition(":")
            rows.append(
                (tag, f"{'cluster':<10} {kind:<10} {'READY':<8} {image.digest.partition(':')[2][:10]} {when} {tag:<30}")
            )
    for _, row in sorted(rows):
        print(row.rstrip())
    return 0


def _lookup(options: argparse.Namespace) -> int:
    print(_library().lookup(options.image).digest)
    return 0


def _pull(options: argparse.Namespace) -> int:
    from spank_container.library import pullable  # noqa: PLC0415

    reference, library = pullable(options.image), _library()
    said: list[str] = []

    def report(stage: str, _done: int, _total: int) -> None:
        if said[-1:] != [stage]:
            said.append(stage)
            _say(options.image, stage.upper())

    try:
        library.pull(reference, _audience(options), report)
    except SpankContainerError:
        _say(options.image, "FAILURE")
        print()
        raise
    _say(options.image, "READY")
    print()
    return 0


def _say(image: str, status: str) -> None:
    """One line, over and over, as Shifter's."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S")
    print(f"\r\033[K{now} Pulling Image: {image}, status: {status}", end="", flush=True)


def _pull_without_waiting(options: argparse.Namespace) -> int:
    from spank_container.library import pullable  # noqa: PLC0415

    state = _library().request(pullable(options.image), _audience(options))
    _say(options.image, state.upper())
    print()
    return 0


def _audience(options: argparse.Namespace) -> Audience:
    from spank_container.library import Audience  # noqa: PLC0415

    return Audience([one for one in options.user.split(",") if one], [one for one in options.group.split(",") if one])


def _login(options: argparse.Namespace) -> int:
    from spank_container.commands import run_command  # noqa: PLC0415

    return run_command(["login", *([options.image] if options.image else [])])


def _expire(options: argparse.Namespace) -> int:
    _library().remove(options.image)
    return 0


def _expire_all(_options: argparse.Namespace) -> int:
    for image in _library().expire():
        print(*image.names or (image.digest,))
    return 0


_MODES: dict[str, Callable[[argparse.Namespace], int]] = {
    "images": _images,
    "lookup": _lookup,
    "pull": _pull,
    "pullnb": _pull_without_waiting,
    "login": _login,
    "expire": _expire,
    "autoexpire": _expire_all,
}
