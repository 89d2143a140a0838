"""From the image that was typed to the digest that the job gets: of the store's, or of one that is pulled for it.

At submit only: tags may move afterwards, the job does not. A gateway that does not answer stops nobody whose image is
in the store.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SpankContainerError, UserError
from spank_container.images.store import Store
from spank_container.values.image_ref import PinnedImage, RegistryRef, parse_digest, parse_image_ref

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spank_container.gateway.answers import Pull
    from spank_container.gateway.client import Gateway
    from spank_container.library import Report
    from spank_container.site_config import SiteConfig
    from spank_container.values.image_ref import ImageRef


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether whoever submits waits until the image is there, as srun and salloc do, and how he sees it come.

    Without `pulls` nothing is pulled and no use counted: for one who only wants to know what would be.
    """

    waits: bool = False
    report: Report | None = None
    pulls: bool = True


def pin_image(
    text: str, config: SiteConfig, environment: Mapping[str, str], waiting: Waiting
) -> tuple[PinnedImage, bool]:
    """The image, and whether it is still to come. `environment` is the user's, for his logins.

    Raises UserError when there is none, with the registry's reason if it was asked.
    """
    reference = parse_image_ref(text)
    gateway = _gateway(config)
    store = Store(Path(config.images.store), wanted=config.images.wanted)
    try:
        digest = store.resolve(reference)
    except UserError:
        if gateway is None:
            raise
        return _of_gateway(gateway, reference, config, environment, waiting)
    store.meta(digest)  # a tag may outlive its image
    if gateway and waiting.pulls:
        with suppress(SpankContainerError):  # it counts uses; the image is there all the same
            gateway.used(digest, str(reference))
    return PinnedImage(reference, digest), False


def _gateway(config: SiteConfig) -> Gateway | None:
    if not config.gateway.addresses:
        return None
    from spank_container.gateway.client import Gateway  # noqa: PLC0415  # HTTP is not for every sbatch

    return Gateway.configured(config.gateway)


def _of_gateway(
    gateway: Gateway, reference: ImageRef, config: SiteConfig, environment: Mapping[str, str], waiting: Waiting
) -> tuple[PinnedImage, bool]:
    """A private image, which the store shows to nobody, or one that has to be pulled."""
    try:
        digest = parse_digest(gateway.lookup(str(reference)).digest)
    except UserError:
        if config.images.pull == "never" or not isinstance(reference, RegistryRef):
            raise
        if not waiting.pulls:
            hint = f"spank-container pull {reference}, and ask again"
            raise UserError(f"{reference} is not in the store; sbatch would have it pulled", hint) from None
        pull = _pulled(gateway, reference, environment, waiting)
        return PinnedImage(reference, parse_digest(pull.digest)), not pull.over
    if waiting.pulls:
        gateway.used(digest, str(reference))
    return PinnedImage(reference, digest), False


def _pulled(gateway: Gateway, reference: RegistryRef, environment: Mapping[str, str], waiting: Waiting) -> Pull:
    """At least so far that its digest is known: from then on the job can wait for it by itself."""
    from spank_container.gateway.client import raise_failure  # noqa: PLC0415
    from spank_container.images.logins import find_login  # noqa: PLC0415
    from spank_container.library import showing  # noqa: PLC0415

    pull = gateway.pull(str(reference), login=find_login(reference.registry, environment))
    pull = gateway.follow(pull, showing(waiting.report), until=lambda now: bool(now.digest) and not waiting.waits)
    raise_failure(pull)
    return pull
