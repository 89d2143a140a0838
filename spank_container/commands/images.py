"""Images: pull and list them; the logins at registries that this needs."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse

    from spank_container.commands.verbs import Verbs
    from spank_container.images.store import Store


def add_verbs(verbs: Verbs) -> None:
    images = verbs.add(
        "images",
        "list the images that you may use",
        "A row for each name: the name, the digest's first digits, the size, when it was pulled, and whether it is "
        "private. Where nobody looks, the rows have tabs between the columns and no headings, for cut(1).",
        [("images", "what is there"), ("images --json", "for a script")],
    )
    images.add_argument("--json", action="store_true", help="for machines: one array")
    images.set_defaults(run=_images)
    _add_pull(verbs)
    _add_logins(verbs)
    _add_image_verbs(verbs.add_group("image", "one image: show it, share it, remove it, or import it from a file"))


def _add_pull(verbs: Verbs) -> None:
    pull = verbs.add(
        "pull",
        "fetch an image from its registry",
        "Without a gateway, only who may write the image store can pull. What a registry gives to nobody without a "
        "login is private: you may use it, and whom you name.",
        [
            ("pull docker:debian:trixie", "have it there before the job needs it"),
            ("pull docker:registry.example.org/lab/app:1 --user bob", "for bob and yourself alone"),
        ],
    )
    pull.add_argument("image", metavar="REF", help="docker:NAME[:TAG][@DIGEST]")
    pull.add_argument("--user", metavar="NAMES", default="", help="who else may use it, if it is private: a,b")
    pull.add_argument("--group", metavar="NAMES", default="", help="likewise, groups")
    pull.add_argument("--no-wait", action="store_true", help="only ask for it")
    pull.add_argument("--json", action="store_true", help="for machines: one object")
    pull.set_defaults(run=_pull)


def _add_logins(verbs: Verbs) -> None:
    login = verbs.add(
        "login",
        "keep your name and password for a registry",
        "They are kept where skopeo and podman keep theirs, in ~/.config/containers/auth.json, which only you can "
        "read. `spank-container pull`, sbatch, salloc and srun find them there, and what docker login has kept.",
        [
            ("login registry.example.org", "asks for both"),
            ("login --username me --password-stdin < file", "docker.io, in a script"),
        ],
    )
    login.add_argument("registry", metavar="REGISTRY", nargs="?", default="docker.io", help="docker.io unless given")
    login.add_argument("--username", metavar="NAME", help="asked for if not given")
    login.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    login.set_defaults(run=_login)
    logout = verbs.add(
        "logout", "forget the login at a registry", examples=[("logout registry.example.org", "forget that one")]
    )
    logout.add_argument("registry", metavar="REGISTRY", nargs="?", default="docker.io", help="docker.io unless given")
    logout.set_defaults(run=_logout)


def _add_image_verbs(actions: Verbs) -> None:
    show = actions.add(
        "show",
        "all that is known of an image",
        "Its environment and command, its C library and MPI libraries, its interpreters, and who may use it.",
        [("image show debian:trixie", "for you"), ("image show id:sha256:... --json", "for a script")],
    )
    show.add_argument("image", metavar="REF", help="an image that is in the store")
    show.add_argument("--json", action="store_true", help="for machines: one object")
    show.set_defaults(run=_show)
    share = actions.add(
        "share",
        "let these users and groups, and no others, use a private image",
        "The image must be yours. The list takes the place of the one that was there.",
        [("image share docker:registry.example.org/lab/app:1 --user bob --group lab", "bob and the lab")],
    )
    share.add_argument("image", metavar="REF", help="an image of yours")
    share.add_argument("--user", metavar="NAMES", default="", help="users: a,b")
    share.add_argument("--group", metavar="NAMES", default="", help="groups: a,b")
    share.set_defaults(run=_share)
    remove = actions.add(
        "rm",
        "remove images",
        "The images must be yours. No new job gets them; jobs that run keep them, and their files go after those.",
        [("image rm docker:debian:trixie", "by the name that `spank-container images` shows, or shorter")],
    )
    remove.add_argument("images", metavar="REF", nargs="+", help="images of yours")
    remove.set_defaults(run=_remove)
    bring = actions.add(
        "import",
        "bring an image from a file into the store",
        "For whoever may write the store. Whatever the file is, it is converted anew and never mounted as it is.",
        [("image import docker-archive:app.tar app:1.2", "for sbatch --image=custom:app:1.2")],
    )
    bring.add_argument("source", metavar="KIND:PATH", help="docker-archive:, oci-archive:, squashfs:FILE or oci:DIR")
    bring.add_argument("name", metavar="NAME[:TAG]", help="--image=custom:NAME:TAG will be it")
    bring.set_defaults(run=_import)


def _show(arguments: argparse.Namespace) -> None:
    from spank_container.commands import image_show  # noqa: PLC0415

    image_show.show(arguments)


def _import(arguments: argparse.Namespace) -> None:
    from spank_container.commands import show  # noqa: PLC0415
    from spank_container.images.archives import import_image  # noqa: PLC0415
    from spank_container.values.image_ref import parse_imported_ref  # noqa: PLC0415

    reference, store = parse_imported_ref(arguments.name), _store()
    with show.progress() as report:
        meta = import_image(arguments.source, reference, store, report)
    print(f"{reference} {meta.digest} {show.rounded(meta.size)}")


def _store() -> Store:
    from spank_container.images.store import Store  # noqa: PLC0415

    images = load_config().images
    return Store(Path(images.store), wanted=images.wanted)


def _remove(arguments: argparse.Namespace) -> None:
    from spank_container.library import open_library  # noqa: PLC0415

    library = open_library(load_config(), os.environ)
    for reference in arguments.images:
        image = library.remove(reference)
        print(f"removed {' '.join(image.names) or reference} {image.digest}")


def _share(arguments: argparse.Namespace) -> None:
    from spank_container.library import Audience, open_library  # noqa: PLC0415

    library = open_library(load_config(), os.environ)
    image = library.share(arguments.image, Audience(_names(arguments.user), _names(arguments.group)))
    print(f"{image.digest} users={','.join(map(str, image.users))} groups={','.join(map(str, image.groups))}")


def _pull(arguments: argparse.Namespace) -> None:
    from spank_container.commands import show  # noqa: PLC0415
    from spank_container.library import Audience, open_library, pullable  # noqa: PLC0415

    reference, library = pullable(arguments.image), open_library(load_config(), os.environ)
    audience = Audience(_names(arguments.user), _names(arguments.group))
    if arguments.no_wait:
        print(f"{reference} {library.request(reference, audience)}")
        return
    with show.progress() as report:
        image = library.pull(reference, audience, report)
    print(json.dumps(asdict(image)) if arguments.json else f"{reference} {image.digest} {show.rounded(image.size)}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _images(arguments: argparse.Namespace) -> None:
    from spank_container.commands.show import show_images  # noqa: PLC0415
    from spank_container.library import open_library  # noqa: PLC0415

    show_images(open_library(load_config(), os.environ).images(), as_json=arguments.json)


def _login(arguments: argparse.Namespace) -> None:
    from spank_container.images.logins import Login, log_in  # noqa: PLC0415

    user = arguments.username or _asked("--username", f"{arguments.registry} username: ", secret=False)
    if arguments.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = _asked("--password-stdin", f"{arguments.registry} password: ", secret=True)
    file = log_in(arguments.registry, Login(user, password), os.environ)
    print(f"{user} is logged in to {arguments.registry} [{file}]")


def _asked(option: str, prompt: str, *, secret: bool) -> str:
    """From the terminal, wherever input and output lead; UserError in a job, where there is none."""
    from getpass import getpass  # noqa: PLC0415

    from spank_container.errors import UserError  # noqa: PLC0415

    try:
        with open("/dev/tty", "r+b", buffering=0):
            pass
    except OSError:
        raise UserError("there is no terminal to ask on", hint=f"give {option}") from None
    return getpass(prompt) if secret else input(prompt)


def _logout(arguments: argparse.Namespace) -> None:
    from spank_container.images.logins import log_out  # noqa: PLC0415

    file = log_out(arguments.registry, os.environ)
    print(f"you are logged out of {arguments.registry} [{file}]")
