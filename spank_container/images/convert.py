"""From the layers of an image, as a registry gave them, to one squashfs and what is known of the image.

layers -> members -> merged tree -> tar stream -> squashfs: each stage is its own module's, this is the order. Needs no
root and writes no file but the result. The same layers give the same file, to the byte, with squashfs-tools 4.6 or
later.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.images.findings import Finder
from spank_container.images.flatten import flatten, foresee_root
from spank_container.images.image_config import RuntimeConfig
from spank_container.images.layers import BrokenBlobError, opened
from spank_container.images.merge import merge, write_merged
from spank_container.images.sight import UnforeseenError
from spank_container.images.squash import squashing
from spank_container.images.tar_writer import TarWriter
from spank_container.values.image_format import ImageFormat
from spank_container.values.image_meta import ImageMeta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Literal

    from spank_container.images.findings import Find
    from spank_container.images.image_config import Configuration
    from spank_container.images.layers import Blob, Layer
    from spank_container.values.image_ref import Digest

    Stage = Literal["downloading", "reading", "converting"]
    Progress = Callable[[Stage, int, int], None]
    """(stage, bytes done, bytes in all); may be called from another thread."""


def convert(
    digest: Digest,
    blobs: Sequence[Blob],
    configuration: Configuration,
    path: Path,
    *,
    wanted: ImageFormat | None = None,
    report: Progress = lambda _stage, _done, _total: None,
) -> ImageMeta:
    """Write the squashfs of the image `digest` to `path`; a layer that is damaged in the cache is removed there."""
    conversion = _Conversion(path, wanted or ImageFormat(), report)
    try:
        with opened(blobs) as layers, _without_collector():
            find, finder = conversion.run(layers)
    except BrokenBlobError as error:
        error.path.unlink(missing_ok=True)
        raise
    return _meta(digest, configuration, find, finder)


@dataclass(frozen=True, slots=True)
class _Conversion:
    path: Path
    wanted: ImageFormat
    report: Progress

    def run(self, layers: Sequence[Layer]) -> tuple[Find, Finder]:
        """What is where in the tree, and what was seen."""
        try:
            return self._read_once(layers)
        except UnforeseenError:
            return self._read_twice(layers)

    def _read_once(self, layers: Sequence[Layer]) -> tuple[Find, Finder]:
        finder, root = Finder(), foresee_root(layers)
        with squashing(self.path, root, self.wanted) as fd:
            sink = TarWriter(fd, lambda: self._tell("converting", layers))
            return flatten(layers, root, sink, finder).find, finder

    def _read_twice(self, layers: Sequence[Layer]) -> tuple[Find, Finder]:
        finder = Finder()
        flat = merge(layers, lambda: self._tell("reading", layers))
        with squashing(self.path, flat.root, self.wanted) as fd:
            write_merged(flat, layers, TarWriter(fd), finder)
        return flat.tree.find, finder

    def _tell(self, stage: Stage, layers: Sequence[Layer]) -> None:
        self.report(stage, sum(layer.consumed for layer in layers), sum(layer.size for layer in layers))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Python's search for cycles: there are none, and it would look at every path of the image again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _meta(digest: Digest, configuration: Configuration, find: Find, finder: Finder) -> ImageMeta:
    config = configuration.config or RuntimeConfig()
    # Without a value it sets nothing: no libc finds it again.
    environment = tuple(entry for entry in config.env or () if entry.find("=") > 0)
    return ImageMeta(
        digest=digest,
        architecture=configuration.architecture,
        size=0,
        environment=environment,
        entrypoint=tuple(config.entrypoint or ()),
        cmd=tuple(config.cmd or ()),
        workdir=config.workdir or "",
        user=config.user or "",
        labels=tuple(sorted((config.labels or {}).items())),
        passwd=finder.passwd,
        group=finder.group,
        volumes=tuple(sorted(config.volumes or {})),
        findings=finder.findings(find, environment),
    )
