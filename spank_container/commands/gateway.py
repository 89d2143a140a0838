"""The verbs of the image gateway: the service itself, and what its users and admins ask it about."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from spank_container.errors import SiteError
from spank_container.site_config import load_config

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from spank_container.commands.verbs import Verbs
    from spank_container.gateway.answers import Image, Pull, Use
    from spank_container.gateway.client import Gateway

    _R = TypeVar("_R", Pull, Use, Image)


def add_verbs(verbs: Verbs) -> None:
    actions = verbs.add_group(
        "gateway",
        "the service that pulls: what became of your pulls",
        "It fetches images for everybody and looks after the store. Who its admins are stands in [gateway] of the "
        "configuration.",
    )
    for name, run, summary, about in (
        ("pulls", _pulls, "list your pulls, with the reasons of those that failed", "Admins see everybody's."),
        ("status", _status, "say whether it answers, and how many pulls are in which state", ""),
        ("usage", _usage, "list how often your jobs used which image", "Admins see everybody's."),
        ("expire", _expire, "remove what was not used for too long, now", "For admins: see [gateway] expire_days."),
    ):
        action = actions.add(name, summary, about)
        action.add_argument("--json", action="store_true", help="for machines")
        action.set_defaults(run=run)
    serve = actions.add("serve", "be the gateway, until SIGTERM", "For its systemd unit, as [gateway] account.")
    serve.set_defaults(run=_serve)


def _serve(_: argparse.Namespace) -> None:
    from spank_container.gateway.server import serve  # noqa: PLC0415

    serve(load_config())


def _gateway() -> Gateway:
    from spank_container.gateway.client import Gateway  # noqa: PLC0415

    found = Gateway.configured(load_config().gateway)
    if found is None:
        raise SiteError("this site has no image gateway", hint="set [gateway] addresses")
    return found


def _status(arguments: argparse.Namespace) -> None:
    found = _gateway().status()
    if arguments.json:
        print(json.dumps(found))
        return
    pulls = ", ".join(f"{number} {state}" for state, number in found["pulls"].items()) or "none"
    print(f"the gateway answers; version {found['version']}; pulls: {pulls}")


def _pulls(arguments: argparse.Namespace) -> None:
    _show(_gateway().pulls(), ("ID", "IMAGE", "STATE", "ASKED", "WHY"), _pull_row, as_json=arguments.json)


def _usage(arguments: argparse.Namespace) -> None:
    _show(_gateway().usage(), ("UID", "IMAGE", "ID", "USES", "LAST"), _use_row, as_json=arguments.json)


def _expire(arguments: argparse.Namespace) -> None:
    _show(_gateway().expire(), ("REMOVED", "IMAGE"), _image_row, as_json=arguments.json)


def _pull_row(pull: Pull) -> Sequence[str]:
    return str(pull.id), pull.reference, pull.state, _when(pull.created), pull.reason


def _use_row(use: Use) -> Sequence[str]:
    return str(use.uid), use.reference, use.digest[:19], str(use.count), _when(use.last)


def _image_row(image: Image) -> Sequence[str]:
    return image.digest[:19], " ".join(image.names)


def _show(found: Sequence[_R], headings: Sequence[str], row: Callable[[_R], Sequence[str]], *, as_json: bool) -> None:
    from spank_container.commands.show import table  # noqa: PLC0415

    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        table(headings, [row(one) for one in found])


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
