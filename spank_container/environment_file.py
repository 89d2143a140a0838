"""Reads what --image-env-file names: at submit, as the user, and never on a node."""

from __future__ import annotations

import os
import stat

from spank_container.errors import UserError
from spank_container.values.task import parse_environment_file

_LARGEST = 64 * 1024  # as a whole request: more could not be sent


def read_environment_file(path: str) -> list[str]:
    """NAME=VALUE of each of its lines. Raises UserError for what is no file, or no list of variables."""
    # Without O_NONBLOCK, opening a FIFO waits for whoever writes to it.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UserError(f"--image-env-file: {path} is no regular file", hint="write the variables to a file")
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        raise UserError(
            f"--image-env-file: {path}: {reason}", hint="check the path, and that you may read it"
        ) from error
    if len(content) > _LARGEST:
        raise UserError(f"--image-env-file: {path} is larger than 64K", hint="let the program read it, as a --volume")
    return parse_environment_file(os.fsdecode(content), path)
