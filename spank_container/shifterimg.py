"""shifterimg, as Shifter's users and scripts know it: images, lookup, pull, pullnb, login, expire, autoexpire.

Beside Shifter's own: a pull that fails says why and has a status that is not 0, and -u and -g work.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
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
        status = _MODES[options.mode].run(options)
    except SpankContainerError as error:
        status = _FAILURE
        if options.mode != "lookup" or options.verbose:  # scripts ask whether an image is there
            print(f"shifterimg: {error.report()}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shifterimg",
        usage="shifterimg [OPTION]... MODE [IMAGE]",
        description="Images, as with Shifter; spank-container does the same, and more.\n\n" + _list_of_modes(),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mode", choices=sorted(_MODES), metavar="MODE", help="one of the above")
    parser.add_argument("image", nargs="?", default="", metavar="IMAGE", help="as docker:debian:trixie")
    parser.add_argument("-u", "--user", metavar="NAMES", default="", help="users who may use a private image: a,b")
    parser.add_argument("-g", "--group", metavar="NAMES", default="", help="groups whose members may: a,b")
    parser.add_argument("-v", "--verbose", action="store_true", help="say why a lookup finds nothing")
    return parser


def _list_of_modes() -> str:
    return "\n".join(["modes:", *(f"  {name:<12}{mode.words}" for name, mode in _MODES.items())])


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


@dataclass(frozen=True, slots=True)
class _Mode:
    run: Callable[[argparse.Namespace], int]
    words: str


_MODES = {
    "images": _Mode(_images, "list the images that you may use"),
    "lookup": _Mode(_lookup, "print the digest of IMAGE; the status is 1 when it is not there"),
    "pull": _Mode(_pull, "fetch IMAGE, and wait for it"),
    "pullnb": _Mode(_pull_without_waiting, "ask for IMAGE, and do not wait"),
    "login": _Mode(_login, "keep your name and password for the registry IMAGE"),
    "expire": _Mode(_expire, "remove IMAGE, which must be yours"),
    "autoexpire": _Mode(_expire_all, "for administrators: remove what was not used for too long"),
}
_EXAMPLES = """\
examples:
  # fetch an image
  shifterimg pull docker:debian:trixie
  # a private one, for bob and yourself
  shifterimg -u bob pull docker:registry.example.org/lab/app:1

The exit status is 0, or 1 for whatever went wrong."""
