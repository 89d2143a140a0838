"""The end of a perNodeCache: what a crash left is removed, and its room is waited for.

The kernel writes back what is in a cache, although nobody will read it, before it lets go of the file; a next job that
wants the same room would not find it.
"""

from __future__ import annotations

import time

from spank_container.errors import BusyError
from spank_container.kernel.loop import backing_file

DEVICE = "device:"
"""What the journal's note of a loop device and its backing file begins with."""
_LONGEST = 60  # seconds, for one attempt, as for a /tmp on disk


def end_scratch(note: str) -> None:
    """Of what the journal's note says; an empty one says nothing. Raises BusyError where it takes longer."""
    if note.startswith(DEVICE):
        device, _, file = note.removeprefix(DEVICE).partition(" ")
        _wait(device, file)
    elif note:
        from spank_container.executor.backing_file import FOLDER, remove_folder  # noqa: PLC0415  # only after a crash

        remove_folder(note.removeprefix(FOLDER))


def _wait(device: str, file: str) -> None:
    deadline = time.monotonic() + _LONGEST
    while file and backing_file(device) == file:
        if time.monotonic() > deadline:
            raise BusyError(f"a cache is still being written back to {file}", hint="spank-container sweep looks again")
        time.sleep(0.005)
