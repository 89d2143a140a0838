"""Markers by folder, and what the machine must be able to do for them: found out by trying it.

A laptop that cannot do it skips these tests and says why; in CI (CI=true) that is a failure, so that they cannot
silently stop running.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
os.environ.setdefault("SPANK_CONTAINER_SANDBOX", "test")  # before the sandbox is imported: a developer's stays up
pytest_plugins = ["real_cluster"]

TRY_KERNEL = """
folder=$(mktemp -d)
trap 'umount -l "$folder"; rmdir "$folder"' EXIT
mount -t tmpfs none "$folder"
mkdir "$folder/tree" "$folder/image" "$folder/upper" "$folder/work" "$folder/root"
mksquashfs "$folder/tree" "$folder/squashfs" -quiet -no-progress > /dev/null
mount -o loop,ro "$folder/squashfs" "$folder/image"
mount -t overlay none -o "lowerdir=$folder/image,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
umount "$folder/root" "$folder/image"
"""
TRY_CLUSTER = """
command -v debootstrap skopeo openssl > /dev/null
hostname sandbox-probe
ip link add bridge type bridge
ip link add cable type veth peer name eth0
"""
NAMESPACES = {
    "kernel": (["unshare", "--mount"], TRY_KERNEL),
    "gateway": (["unshare", "--mount"], TRY_KERNEL),
    "cluster": (["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork"], TRY_KERNEL + TRY_CLUSTER),
}
MARKERS = {"kernel": ("kernel",), "cluster": ("cluster",), "security": ("cluster", "security")}


@functools.cache
def why_not(marker: str) -> str:
    """What this machine said when it was asked to do what the tests of `marker` need; empty when it can."""
    namespaces, script = NAMESPACES[marker]
    done = subprocess.run([*namespaces, "sh", "-euc", script], capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder, and run the quick tests first."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        for marker in MARKERS.get(folder, ()):
            item.add_marker(marker)
    items.sort(key=_order)  # stable, so that pytest's grouping stays


def _order(item: pytest.Item) -> tuple[int, str]:
    """Tests of one release of Slurm together, whatever their folder: they share its cluster."""
    if not item.get_closest_marker("cluster"):
        return 0, ""
    if "cluster" not in getattr(item, "fixturenames", ()):
        return 1, ""
    return 2, item.callspec.params["cluster"]  # type: ignore[attr-defined]  # a pytest.Function has it, when parametrized


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in NAMESPACES:
        if item.get_closest_marker(marker) and (reason := why_not(marker)):
            missing(f"{marker} tests cannot run here: {reason}")


def missing(reason: str) -> None:
    """Skip a test that this machine cannot run; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
