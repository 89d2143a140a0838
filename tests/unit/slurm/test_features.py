"""What a node tells Slurm that it has: the site's own features stay, ours are those of now. Real scontrol: tests/cluster."""

from __future__ import annotations

import pytest

from spank_container.errors import BusyError
from spank_container.slurm.features import image_feature, merged, parse_features

# scontrol --oneliner show node, Slurm 24.11 and 26.05, shortened.
WITH = "NodeName=n1 Arch=x86_64 AvailableFeatures=gpu,image_0123456789ab ActiveFeatures=gpu Gres=(null) NodeAddr=n1"
WITHOUT = "NodeName=n1 Arch=x86_64 AvailableFeatures=(null) ActiveFeatures=(null) Gres=(null) NodeAddr=n1"


def test_features_are_read() -> None:
    assert parse_features(WITH) == (["gpu", "image_0123456789ab"], ["gpu"])
    assert parse_features(WITHOUT) == ([], [])


def test_what_is_not_understood_changes_nothing() -> None:
    with pytest.raises(BusyError, match=r"^scontrol's answer was not understood"):
        parse_features("NodeName=n1 AvailableFeatures=gpu")


@pytest.mark.parametrize("digest", [f"sha256:{'ab12' * 16}", f"sha256-{'ab12' * 16}", f"sha512-{'ab12' * 32}"])
def test_an_image_is_a_word_that_a_constraint_can_hold(digest: str) -> None:
    assert image_feature(digest) == "image_ab12ab12ab12"


def test_ours_are_replaced_and_theirs_kept() -> None:
    theirs = ["gpu", "spank_container", "image_0123456789ab", "image_of_the_site", "rack7"]
    assert merged(theirs, ["spank_container", "image_ffffffffffff"]) == [
        "gpu",
        "image_of_the_site",
        "rack7",
        "spank_container",
        "image_ffffffffffff",
    ]
