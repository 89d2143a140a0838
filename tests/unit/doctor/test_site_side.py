"""What the site's configuration counts on: mounts that are there or need not be, copies that are root's, a gateway."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from spank_container.doctor.findings import Finding
from spank_container.doctor.site import check_site
from spank_container.site_config import GatewayConfig, ImagesConfig, SiteConfig, VolumesConfig

if TYPE_CHECKING:
    from pathlib import Path


def test_a_site_that_wants_nothing_is_not_spoken_of() -> None:
    assert list(check_site(SiteConfig())) == []


def test_mounts_are_there_or_need_not_be(tmp_path: Path) -> None:
    mounts = (f"{tmp_path}:/tools:ro", f"{tmp_path}/burst:/burst:optional", f"{tmp_path}/lent:/lent")
    assert list(check_site(SiteConfig(volumes=VolumesConfig(mounts=mounts)))) == [
        Finding("ok", "site mount /tools", str(tmp_path)),
        Finding("ok", "site mount /burst", f"{tmp_path}/burst is not here, and need not be"),
        Finding(
            "failure",
            "site mount /lent",
            f"{tmp_path}/lent is not here: a job with an image would drain this node",
            "mount it, or add :optional where only some nodes have it",
        ),
    ]


def test_copies_are_root_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    config = SiteConfig(images=ImagesConfig(node_cache=str(folder)))
    assert list(check_site(config)) == [Finding("ok", "copies of images", f"the first job makes the folder [{folder}]")]
    folder.mkdir(mode=0o700)
    assert list(check_site(config)) == [Finding("ok", "copies of images", f"root's, 0700 [{folder}]")]
    os.chown(folder, 2001, 2001)
    folder.chmod(0o755)
    assert list(check_site(config)) == [
        Finding(
            "failure",
            "copies of images",
            f"uid 2001 and mode 0755, not root's and 0700 [{folder}]",
            f"empty it, then: chown root {folder}; chmod 0700 {folder}",
        )
    ]


def test_a_gateway_that_is_down_is_a_warning(tmp_path: Path) -> None:
    config = SiteConfig(gateway=GatewayConfig(addresses=(f"unix:{tmp_path}/socket",)))
    (finding,) = check_site(config)
    assert finding == Finding(
        "warning",
        "image gateway",
        f"the image gateway does not answer (unix:{tmp_path}/socket: No such file or directory); "
        "jobs whose image is in the store start all the same",
        "try again later; images that are in the store can be used meanwhile",
    )
