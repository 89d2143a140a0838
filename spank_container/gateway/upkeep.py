"""What the gateway does by itself, now and then: let images expire, delete the files of removed ones, forget old pulls.

An image's last use is the last submit that named it, or the last read of its file where the file system keeps access
times (relatime, the default, notes one a day).
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spank_container.errors import SpankContainerError
from spank_container.images import removal
from spank_container.slurm.starts import oldest_start
from spank_container.values.image_ref import parse_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from spank_container.gateway.answers import Image
    from spank_container.gateway.catalog import Catalog
    from spank_container.gateway.people import Caller
    from spank_container.gateway.queue import Queue
    from spank_container.images.store import Store
    from spank_container.site_config import GatewayConfig

_LOG = logging.getLogger(__name__)
_DAY = 86400
_INTERVAL = 600


@dataclass(slots=True)
class Upkeep:
    """`start` it once; `expire` and `delete` are also an admin's to ask for."""

    config: GatewayConfig
    catalog: Catalog
    queue: Queue
    admin: Caller
    starts: Callable[[], float | None] = oldest_start
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        # Of a gateway that was killed; nothing is pulled yet.
        shutil.rmtree(self.catalog.store.private.blobs, ignore_errors=True)
        threading.Thread(target=self._run, name="upkeep", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def expire(self) -> tuple[Image, ...]:
        """Remove the images that were not used for `expire_days`; returns what went."""
        if not self.config.expire_days:
            return ()
        limit = time.time() - self.config.expire_days * _DAY
        gone = [image for image in self.catalog.images(self.admin) if self._last_use(image) < limit]
        for image in gone:
            self.catalog.drop(image)
            _LOG.info("%s has expired", image.digest)
        return tuple(gone)

    def delete(self) -> int:
        """Delete the files of removed images that no job can have mounted; how many these were."""
        number = 0
        for part in (self.catalog.store, self.catalog.store.private):
            for digest in removal.delete_free(part, self.starts, self.config.removal_days):
                _LOG.info("the file of %s is deleted", digest)
                number += 1
        return number

    def _last_use(self, image: Image) -> float:
        return max(image.used, image.created, _access_time(self._part(image), image))

    def _part(self, image: Image) -> Store:
        return self.catalog.store.private if image.private else self.catalog.store

    def _run(self) -> None:
        while not self._stopping.wait(1):
            for task in (self.expire, self.delete, self._forget):
                try:
                    task()
                except SpankContainerError as error:
                    _LOG.warning("%s", error.report())
                except Exception:  # noqa: BLE001  # tomorrow it may work; today's pulls must
                    _LOG.exception("this is a defect, please report it")
            self._stopping.wait(_INTERVAL)

    def _forget(self) -> None:
        self.queue.forget(time.time() - self.config.failure_days * _DAY)


def _access_time(part: Store, image: Image) -> float:
    try:
        return os.stat(part.squashfs(parse_digest(image.digest))).st_atime
    except OSError:
        return 0.0
