from __future__ import annotations

import pytest
from builders import config, request

from spank_container.errors import UserError
from spank_container.plan.policy import check_policy
from spank_container.site_config import ContainerConfig, ScratchConfig, SiteConfig

ALICE = 1001


def refusal(site: SiteConfig, *volumes: str, uid: int = ALICE) -> str:
    with pytest.raises(UserError) as caught:
        check_policy(request(*volumes), uid, site)
    return caught.value.report()


def test_the_defaults_allow_any_cache_to_an_ordinary_user() -> None:
    check_policy(request("/a:/b", "/c:/d:perNodeCache=size=7E", "/e:/f:perNodeCache=size=8M,fs=ext4"), ALICE, config())


def test_root_has_no_container_unless_the_site_says_so() -> None:
    assert refusal(config(), uid=0) == "root's jobs get no container on this cluster\nhint: submit as an ordinary user"
    check_policy(request(), 0, config(container=ContainerConfig(allow_root=True)))


def test_the_largest_cache() -> None:
    site = config(ScratchConfig(max_size="1.5G"))
    check_policy(request("/a:/b:perNodeCache=size=1536M"), ALICE, site)
    assert refusal(site, "/x:/y", "/a:/b:perNodeCache=size=2G") == (
        "--volume: a perNodeCache of 2G is larger than this cluster allows\nhint: ask for 1.5G at most"
    )


@pytest.mark.parametrize(
    ("filesystems", "hint"), [(("ext4",), "use fs=ext4"), ((), "this cluster gives no perNodeCache")]
)
def test_a_file_system_that_the_site_does_not_allow(filesystems: tuple[str, ...], hint: str) -> None:
    assert refusal(config(ScratchConfig(filesystems=filesystems)), "/a:/b:perNodeCache=size=1G") == (
        f"--volume: fs=xfs is not allowed on this cluster\nhint: {hint}"
    )
