"""What is bound into a container, opened before the namespace is left: a user's sources as the user, and by descriptor."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.kernel import mounts
from spank_container.kernel.credentials import acting_as, credentials
from spank_container.plan.ops import Bind
from spank_container.plan.policy import check_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spank_container.plan.ops import InsideOp
    from spank_container.values.source_rules import SourceRules

_USERS_FAULT = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}


def open_sources(ops: Sequence[InsideOp], rules: SourceRules) -> dict[str, int]:
    """Detached mounts of everything that is bound, by target; an optional source out of reach is left out.

    Raises UserError for a user's source that the user cannot reach, that the site does not allow, or that is neither a
    folder nor a file.
    """
    sources: dict[str, int] = {}
    rules = rules.and_real(os.path.realpath)
    for op in ops:
        if isinstance(op, Bind):
            try:
                sources[op.target] = _open_source(op, rules)
            except UserError:
                if not op.optional:
                    raise
    return sources


def _open_source(op: Bind, rules: SourceRules) -> int:
    try:
        with mounts.closing(_open_as_owner(op)) as source:
            forced = bool(op.owner) and judge_source(op.source, source, rules)  # always: it refuses as well
            attributes = (0 if op.devices else mounts.HARMLESS) | (mounts.READ_ONLY if op.read_only or forced else 0)
            return mounts.clone_tree(source, attributes=attributes)
    except OSError as error:
        if (op.owner or op.optional) and error.errno in _USERS_FAULT:
            raise unreachable(op.source, error) from error
        raise NodeError.from_os_error(f"binding into the container, for {op.why}", error, op.source) from error


def judge_source(path: str, source: int, rules: SourceRules) -> bool:
    """Whether the site wants it read-only; by where the open descriptor really is, past every link of the user's.

    Raises UserError for what is neither a folder nor a file, and for what the site does not allow.
    """
    mode = os.fstat(source).st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise UserError(f"--volume: {path} is neither a folder nor a file", hint="name a folder or a file")
    real = os.readlink(f"/proc/self/fd/{source}")
    check_source(path, rules, real)
    return rules.makes_read_only(real)


def unreachable(path: str, error: OSError) -> UserError:
    """The refusal of a volume's source, at submit and on the node alike."""
    reason = os.strerror(error.errno or 0)
    return UserError(f"--volume: {path}: {reason}", hint="check the path, and that you may read it")


def _open_as_owner(op: Bind) -> int:
    if not op.owner:
        return os.open(op.source, os.O_PATH | os.O_CLOEXEC)
    with acting_as(credentials(op.owner)):
        return open_readable(op.source)


def open_readable(path: str) -> int:
    """An O_PATH descriptor for what the acting user may use: read a file, enter a folder."""
    try:
        # With /. at its end the kernel mounts what automount has there, which O_PATH alone does not; open(2).
        source = mounts.open_no_magic(f"{path}/.", os.O_PATH)
    except NotADirectoryError:
        source = mounts.open_no_magic(path, os.O_PATH)
    needed = os.X_OK if stat.S_ISDIR(os.fstat(source).st_mode) else os.R_OK
    if not os.access(f"/proc/self/fd/{source}", needed, effective_ids=True):
        os.close(source)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return source
