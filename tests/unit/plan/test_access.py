"""Private images on a node: who may not use one learns nothing of it."""

from __future__ import annotations

from dataclasses import replace

import builders
import pytest

from spank_container.errors import UserError
from spank_container.values.access import Access, unknown_image

SQUASHFS = f"{builders.DIGEST.replace(':', '-')}.squashfs"


@pytest.mark.parametrize(
    "access",
    [Access(1001), Access(7, users=(1001, 8)), Access(7, groups=(2000,)), Access(7, (8,), (9, 1001))],
    ids=["owner", "user", "group", "primary group"],
)
def test_those_who_are_let_in_get_it(access: Access) -> None:
    plan = builders.plan(source=replace(builders.image(), access=access))
    assert plan.host[0].squashfs == f"/shared/images/private/images/{SQUASHFS}"  # type: ignore[union-attr]


@pytest.mark.parametrize("access", [Access(7), Access(0), Access(7, users=(2000,)), Access(7, groups=(7,))])
def test_all_others_read_that_there_is_none(access: Access) -> None:
    with pytest.raises(UserError) as caught:
        builders.plan(source=replace(builders.image(), access=access))
    assert caught.value.report() == unknown_image(builders.DIGEST).report()
    assert caught.value.message == f"the image id:{builders.DIGEST} is not in the store"


def test_an_empty_list_is_not_everybody() -> None:
    assert not Access(7).allows(8, [8])


def test_a_public_image_is_everybodys() -> None:
    plan = builders.plan(source=builders.image())
    assert plan.host[0].squashfs == f"/shared/images/images/{SQUASHFS}"  # type: ignore[union-attr]
