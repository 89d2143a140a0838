"""The store's files, read and written so that whoever must act hears of it: the site, or the administrator of a node."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, SiteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_file(path: Path, largest: int, root: Path) -> bytes | None:
    """None where there is no such file in the store `root`; SiteError when it is longer than `largest` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError):
        check_root(root)
        return None
    except OSError as error:
        raise NodeError.from_os_error("reading the image store", error, path) from error
    if len(data) > largest:
        raise broken(path, f"it is longer than {largest} bytes")
    return data


def check_root(root: Path) -> None:
    """A store that is not mounted here is the site's fault, not that of the user who names an image."""
    if not root.is_dir():
        raise SiteError(
            f"there is no image store at {root}", hint="mount it, or let [images] store name the right folder"
        )


def broken(path: Path, why: str) -> SiteError:
    return SiteError(f"the image store is broken: {why} [{path}]", hint="remove the file and pull the image again")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NodeError.from_os_error("writing the image store", error, error.filename or path) from error
