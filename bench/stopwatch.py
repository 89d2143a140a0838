"""Runs on a node of the cluster, whatever Python that has: contenders in turns, each command's wall-clock time.

Input, as JSON: {"rounds": N, "contenders": {NAME: [{"argv": [...], "env": {...} or null, "timed": BOOL}, ...]}}.
Output: {NAME: [[seconds of each timed command], ... one a round]}. A command that fails ends it all: a wrong thing done
fast is no measurement. It imports nothing of ours, since its text is all that travels.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

_QUIET = ((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0))


def run(command: dict[str, Any]) -> float:
    """Seconds that the command took."""
    argv = command["argv"]
    environment = os.environ if command["env"] is None else command["env"]
    begin = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, environment, file_actions=_QUIET)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        sys.exit(f"{argv} ended with wait status {status}")
    return seconds


def compete(rounds: int, contenders: dict[str, list[dict[str, Any]]]) -> dict[str, list[list[float]]]:
    """All contenders once a round; every other round runs backwards, so that none always comes after another."""
    samples: dict[str, list[list[float]]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        for name in order:
            timed = [(run(command), command["timed"]) for command in contenders[name]]
            samples[name].append([seconds for seconds, counts in timed if counts])
        order.reverse()
    return samples


if __name__ == "__main__":
    print(json.dumps(compete(**json.load(sys.stdin))))
