"""No row is lost: each has tests of its number, or stands here with the reason why it cannot apply."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROWS = range(1, 45)
CANNOT_APPLY = {
    2: "nothing of ours runs in slurmctld: `install` sets Prolog and Epilog, and no PrologSlurmctld",
    8: "no code of ours reads what a peer has sent: MPI and PMIx are Slurm's and the application's",
    19: "nothing of ours writes to /proc after it is in a container: capabilities go by prctl(2) and capset(2)",
    36: "no cache of an image's is rebuilt: there is no ldconfig, and nothing of an image is written at all",
}


def rows_with_tests() -> set[int]:
    texts = [path.read_text() for path in HERE.glob("test_*_rows.py")]
    return {int(number) for text in texts for number in re.findall(r"^def test_row_(\d\d)_", text, re.MULTILINE)}


def test_each_row_is_tried_or_cannot_apply() -> None:
    assert rows_with_tests() | CANNOT_APPLY.keys() == set(ROWS)
    assert rows_with_tests() & CANNOT_APPLY.keys() == set()
    assert len(rows_with_tests()) + len(CANNOT_APPLY) == 44
