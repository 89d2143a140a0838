"""One line a hook, in /var/log/spank-container.log: what was done for which job, how long it took, what went wrong.

Slurm throws away what a Prolog prints, so this is where an administrator looks. A log that cannot be written stops
nothing.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

LOG_FILE = Path("/var/log/spank-container.log")


def log(text: str) -> None:
    """Append `text` with the time; lines behind the first are indented, so that a record stays one paragraph."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with contextlib.suppress(OSError), LOG_FILE.open("a", errors="backslashreplace") as file:
        file.write(f"{stamp} {text.replace(chr(10), chr(10) + '    ')}\n")
