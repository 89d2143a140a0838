from __future__ import annotations

from dataclasses import replace

import pytest
from builders import config, request

from spank_container.errors import UserError
from spank_container.plan.policy import check_policy, check_source, rules_on_node, source_rules
from spank_container.site_config import ContainerConfig, ScratchConfig, SiteConfig, VolumesConfig

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


def volumes(**rules: tuple[str, ...]) -> SiteConfig:
    return replace(config(), volumes=VolumesConfig(**rules))


def test_only_what_the_site_allows() -> None:
    site = volumes(allow=("/scratch/", "/projects"))
    check_policy(request("/scratch/alice:/a", "/projects:/b:ro", "/scratch/alice:/c:perNodeCache=size=1G"), ALICE, site)
    refused = "this cluster does not allow it\nhint: volumes may be in /scratch, /projects"
    assert refusal(site, "/scratch:/a", "/scratch2:/b") == f"--volume: /scratch2: {refused}"
    assert refusal(site, "/home/alice:/a:perNodeCache=size=1G") == f"--volume: /home/alice: {refused}"


def test_what_the_site_denies() -> None:
    site = volumes(allow=("/scratch",), deny=("/scratch/./secret",))
    denied = "/scratch/secret, which this cluster shows in no container\nhint:"
    assert (
        refusal(site, "/scratch/secret/x:/a") == f"--volume: /scratch/secret/x: it is in {denied} name another folder"
    )
    assert refusal(site, "/scratch:/a") == f"--volume: /scratch: it holds {denied} name less of it"


def test_a_cache_shows_nothing_of_the_folder_that_it_is_in() -> None:
    site = volumes(allow=("/scratch",), deny=("/scratch/secret",))
    check_policy(request("/scratch:/a:perNodeCache=size=1G"), ALICE, site)
    assert refusal(site, "/scratch/secret:/a:perNodeCache=size=1G").startswith("--volume: /scratch/secret: it is in")


def test_where_the_site_keeps_caches_the_users_path_means_nothing() -> None:
    site = replace(volumes(allow=("/scratch",)), scratch=ScratchConfig(path="/local"))
    check_policy(request("/home/alice/cache:/a:perNodeCache=size=1G"), ALICE, site)


def test_where_a_source_really_is() -> None:
    rules = source_rules(volumes(allow=("/scratch",), deny=("/scratch/secret",)))
    check_source("/scratch/alice/link", rules, "/scratch/alice/data")
    check_source("/link", rules, "/scratch/alice")
    with pytest.raises(UserError) as denied:
        check_source("/scratch/alice/link", rules, "/scratch/secret/x")
    assert denied.value.report() == (
        "--volume: /scratch/alice/link leads to /scratch/secret/x: it is in /scratch/secret, which this cluster shows in "
        "no container\nhint: name another folder"
    )
    with pytest.raises(UserError) as elsewhere:
        check_source("/scratch/link", rules, "/home/bob")
    assert elsewhere.value.report() == (
        "--volume: /scratch/link leads to /home/bob: this cluster does not allow it\nhint: volumes may be in /scratch"
    )


def test_a_home_that_is_everything_allows_nothing_more() -> None:
    """That of nobody and the like is / often."""
    site = volumes(allow=("/scratch",))
    assert rules_on_node(site, "/home/alice").fault("/home/alice/x") is None
    for home in ("/", "//", "", "home", "/etc", "/../x"):
        assert rules_on_node(site, home).also == ()
