"""The command line: spank-container VERB. The one place that turns errors into words and an exit status.

The hooks' verbs come first and import little: a job pays for them twice. The others are in `commands`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from spank_container.errors import SpankContainerError
from spank_container.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DEFECT = 70  # EX_SOFTWARE of sysexits(3)
HOOKS = ("prolog", "epilog", "step")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its status."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if argv[:1] and argv[0] in HOOKS and not {"-h", "--help"}.intersection(argv):
        # The interpreter would first take itself apart, for a fifth of a hook's time. stderr is written line by line.
        os._exit(_hook(argv))
    from spank_container.commands import run_command  # noqa: PLC0415  # argparse and the verbs: not for hooks

    sys.exit(_reported(lambda: run_command(argv)))


def _hook(argv: Sequence[str]) -> int:
    """Errors go to the log too, since Slurm shows a Prolog's words to nobody."""
    from spank_container import lifecycle  # noqa: PLC0415  # not for users' commands
    from spank_container.state import STATE, StateDirectory  # noqa: PLC0415

    os.umask(0o022)
    started = time.perf_counter()
    if argv[0] == "step":  # which slurmstepd runs, wherever Slurm has put it
        from spank_container.kernel.namespace import join_host  # noqa: PLC0415

        join_host(str(STATE))
    act = lifecycle.epilog if argv[0] == "epilog" or "--end" in argv else lifecycle.prolog
    status = _reported(lambda: act(os.environ, StateDirectory()), log)
    milliseconds = 1000 * (time.perf_counter() - started)
    job = ".".join(filter(None, [os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_STEP_ID")]))
    log(f"{' '.join(argv)} job={job} status={status} ms={milliseconds:.1f}")
    return status


def _reported(act: Callable[[], int | None], also: Callable[[str], None] | None = None) -> int:
    """Run `act`; an error of ours is a sentence, any other a traceback, since then it is a defect."""
    try:
        return act() or 0
    except SpankContainerError as error:
        text, status = error.report(), error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing is wrong
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001  # the boundary
        import traceback  # noqa: PLC0415  # what no hook needs that goes well

        text, status = f"this is a defect, please report it\n{traceback.format_exc()}", _DEFECT
    print(f"spank-container: {text}", file=sys.stderr)
    if also:
        also(text)
    return status
