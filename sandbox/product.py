"""spank-container on a release's root, installed as a site installs it: a wheel, a venv, `spank-container install`.

Two layers over the root: the dependencies (kept by their list) and, on top, the wheel of this checkout with what its
installer makes (kept by the content of the checkout's files, so that an edit costs seconds).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from sandbox.cache import digest, forget_old, kept
from sandbox.chroot import run_in_root
from sandbox.command import run
from sandbox.roots import slurm_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.releases import Release

CHECKOUT = Path(__file__).parents[1]
WHEEL_CONTENT = ("pyproject.toml", "README.md", "LICENSE", "spank_container", "prolog", "epilog", "slurm.conf.d")
EXTRAS = ("admin", "client", "gateway")
VENV = "/opt/spank-container/venv"

DEPENDENCIES = f"""
python3 -m venv {VENV}
{VENV}/bin/pip install --quiet --no-index --find-links /mnt --requirement /mnt/list
"""
PRODUCT = f"""
{VENV}/bin/pip install --quiet --no-index --no-deps /mnt/*.whl
{VENV}/bin/spank-container install
"""


def lower_layers(release: Release) -> list[Path]:
    """What lies under a node, the upmost first."""
    root = slurm_root(release)
    dependencies = _dependency_layer(release, root)
    with tempfile.TemporaryDirectory() as snapshot:
        source = Path(snapshot)
        _copy_checkout(source)
        layer = kept(
            f"product-{release.slurm}",
            digest(PRODUCT, dependencies.name, *_content(source)),
            lambda layer: _install(layer, source, f"{dependencies}:{root}"),
        )
    forget_old(f"product-{release.slurm}", days=1)
    return [layer, dependencies, root]


def _dependency_list(release: Release) -> list[str]:
    """What pyproject.toml asks for on Python of the release; `pip download` would judge by our own."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in EXTRAS for name in project["optional-dependencies"][extra]]
    wanted = [Requirement(text) for text in (*project["dependencies"], *extras)]
    there = {"python_version": release.python, "python_full_version": f"{release.python}.0"}
    return [str(one).partition(";")[0] for one in wanted if not one.marker or one.marker.evaluate(there)]


def _dependency_layer(release: Release, root: Path) -> Path:
    wanted = _dependency_list(release)
    recipe = digest(DEPENDENCIES, root.name, *wanted)

    def download(wheels: Path) -> None:
        python = ("--python-version", release.python, "--only-binary=:all:")
        run([sys.executable, "-m", "pip", "download", "--quiet", *python, "--dest", wheels, *wanted])
        (wheels / "list").write_text("\n".join(wanted))

    wheels = kept(f"wheels-{release.python}", recipe, download)
    return kept(
        f"dependencies-{release.slurm}",
        recipe,
        lambda layer: _in_layer(layer, DEPENDENCIES, below=str(root), wheels=wheels),
    )


def _copy_checkout(target: Path) -> None:
    """Hash and build the same bytes, whatever an editor does to the checkout meanwhile."""
    for name in WHEEL_CONTENT:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)


def _content(source: Path) -> Iterator[bytes]:
    """Names, modes and bytes of everything that goes into the wheel."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield f"{path.relative_to(source)} {path.stat().st_mode:o}".encode()
            yield path.read_bytes()


def _install(layer: Path, source: Path, below: str) -> None:
    wheels = source / "dist"
    # hatchling's own command: pip would download hatchling anew for every build.
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels], cwd=source)
    _in_layer(layer, PRODUCT, below=below, wheels=wheels)


def _in_layer(layer: Path, script: str, *, below: str, wheels: Path) -> None:
    run_in_root(layer, script, binds={wheels: "/mnt"}, below=below)
