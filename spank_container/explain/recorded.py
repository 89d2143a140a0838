"""A recorded plan: what a node wrote before it began, /run/spank-container/jobs/JOB/record.json."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.state import STATE, parse_record

if TYPE_CHECKING:
    from pathlib import Path

    from spank_container.state import Record

_HINT = f"records are root's, on the node, while the job runs: {STATE}/jobs/JOB/record.json"


def read_record(path: Path) -> Record:
    """Raises UserError for a file that is not there, or is no record."""
    try:
        return parse_record(path.read_text(), path)
    except OSError as error:
        raise UserError(f"--record: {path}: {os.strerror(error.errno or 0)}", _HINT) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--record: {path} is no record of this version of spank-container", _HINT) from error
