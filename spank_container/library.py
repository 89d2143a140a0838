"""The images as their users see them: the gateway's where the site has one, else those in the store itself.

Both answer alike, so that no command asks which it is. Without a gateway, whoever may write the store pulls into it,
and every image is everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from spank_container.errors import UserError
from spank_container.gateway.answers import Image
from spank_container.gateway.client import Gateway
from spank_container.images.logins import find_login
from spank_container.images.registry import Registry, passed_environment
from spank_container.images.store import Store
from spank_container.values.image_ref import RegistryRef, parse_digest, parse_image_ref
from spank_container.values.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spank_container.gateway.answers import Pull
    from spank_container.images.registry import RemoteImage
    from spank_container.images.store import StoredImage
    from spank_container.site_config import ImagesConfig, SiteConfig

    Report = Callable[[str, int, int], None]
    """(stage, bytes done, bytes in all); may be called from another thread."""

_REMOVAL_DAYS = 14  # where Slurm cannot be asked for the jobs that may read a removed image; as a gateway's


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom the puller of a private image lets in, by names or numbers; without any, it is his alone."""

    users: Sequence[str] = ()
    groups: Sequence[str] = ()


class Library(Protocol):
    """Every method raises UserError where there is no such image for the caller."""

    def pull(self, reference: RegistryRef, audience: Audience, report: Report | None = None) -> Image:
        """Bring what `reference` means now into the store, and wait for it."""

    def request(self, reference: RegistryRef, audience: Audience) -> str:
        """Ask for it without waiting; the state of the request, in a word."""

    def images(self) -> tuple[Image, ...]:
        """The newest first."""

    def lookup(self, reference: str) -> Image:
        """What `reference` means now, of images that are in the store."""

    def remove(self, reference: str) -> Image:
        """No new job gets it; returns what it was. Jobs that have it keep it."""

    def share(self, reference: str, audience: Audience) -> Image:
        """Let these and no others into a private image of the caller's."""

    def expire(self) -> tuple[Image, ...]:
        """Remove what nobody used for as long as the site says; returns what went."""


def open_library(config: SiteConfig, environment: Mapping[str, str]) -> Library:
    """`environment` is the caller's, for logins and proxies."""
    gateway = Gateway.configured(config.gateway)
    return _GatewayLibrary(gateway, environment) if gateway else _StoreLibrary(config.images, environment)


def pullable(text: str) -> RegistryRef:
    """UserError for a reference that names no registry."""
    reference = parse_image_ref(text)
    if not isinstance(reference, RegistryRef):
        raise UserError(f"{text} names no registry to pull from", hint="write docker:NAME:TAG")
    return reference


@dataclass(frozen=True, slots=True)
class _GatewayLibrary:
    gateway: Gateway
    environment: Mapping[str, str]

    def pull(self, reference: RegistryRef, audience: Audience, report: Report | None = None) -> Image:
        self.gateway.pulled(
            str(reference),
            showing(report),
            users=audience.users,
            groups=audience.groups,
            login=find_login(reference.registry, self.environment),
        )
        return self.lookup(str(reference))

    def request(self, reference: RegistryRef, audience: Audience) -> str:
        login = find_login(reference.registry, self.environment)
        return self.gateway.pull(str(reference), users=audience.users, groups=audience.groups, login=login).state

    def images(self) -> tuple[Image, ...]:
        return self.gateway.images()

    def lookup(self, reference: str) -> Image:
        return self.gateway.lookup(reference)

    def remove(self, reference: str) -> Image:
        image = self.lookup(reference)
        self.gateway.remove(image.digest)
        return image

    def share(self, reference: str, audience: Audience) -> Image:
        digest = self.lookup(reference).digest
        return self.gateway.share(digest, users=audience.users, groups=audience.groups)

    def expire(self) -> tuple[Image, ...]:
        return self.gateway.expire()


def showing(report: Report | None) -> Callable[[Pull], None] | None:
    """What shows a gateway's pull: one that waits for a worker has nothing to show but that."""
    return (
        (lambda pull: report(_words(pull.stage or pull.state, pull.layers), pull.done, pull.total)) if report else None
    )


def _words(stage: str, layers: int) -> str:
    return f"{stage} {layers} layer{'s' * (layers != 1)}" if stage == "downloading" else stage


def _counting(report: Report | None, image: RemoteImage) -> Report | None:
    layers = len(image.manifest.layers)
    return (lambda stage, done, total: report(_words(stage, layers), done, total)) if report else None


@dataclass(frozen=True, slots=True)
class _StoreLibrary:
    config: ImagesConfig
    environment: Mapping[str, str]

    @property
    def _store(self) -> Store:
        return Store(Path(self.config.store), wanted=self.config.wanted)

    def pull(self, reference: RegistryRef, audience: Audience, report: Report | None = None) -> Image:
        if audience.users or audience.groups:
            raise _only_a_gateway("let users and groups into images", "leave out --user and --group")
        from spank_container.images.pull import bring  # noqa: PLC0415  # what converts is not for who lists

        registry = Registry.asking_for(self.config.wanted, passed_environment(self.environment))
        image = registry.find(reference)
        bring(image, self._store, _counting(report, image), registry, parse_size(self.config.blob_cache))
        return self.lookup(str(reference))

    def request(self, reference: RegistryRef, audience: Audience) -> str:
        self.pull(reference, audience)
        return "ready"

    def images(self) -> tuple[Image, ...]:
        return tuple(_image(one) for one in self._store.list())

    def lookup(self, reference: str) -> Image:
        digest = self._store.resolve(parse_image_ref(reference))
        return next(_image(one) for one in self._store.list() if one.meta.digest == digest)

    def remove(self, reference: str) -> Image:
        from spank_container.images.removal import delete_free, remove  # noqa: PLC0415
        from spank_container.slurm.starts import oldest_start  # noqa: PLC0415

        image = self.lookup(reference)
        remove(self._store, parse_digest(image.digest))
        # Nobody looks after this store but who changes it: the files of earlier removals go now.
        delete_free(self._store, oldest_start, _REMOVAL_DAYS)
        return image

    def share(self, reference: str, audience: Audience) -> Image:
        del reference, audience
        raise _only_a_gateway("let users and groups into images", "every image is everybody's here")

    def expire(self) -> tuple[Image, ...]:
        raise _only_a_gateway("know when an image was used last", "spank-container image rm removes one")


def _only_a_gateway(can: str, hint: str) -> UserError:
    return UserError(f"only an image gateway can {can}, and this cluster has none", hint)


def _image(stored: StoredImage) -> Image:
    meta = stored.meta
    return Image(meta.digest, stored.names, meta.architecture, meta.size, stored.created, private=False)
