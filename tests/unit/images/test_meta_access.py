"""Who may use an image, as its description says it: read as it was written, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from builders import image

from spank_container.images import meta_json
from spank_container.values.access import Access

if TYPE_CHECKING:
    from typing import Any


@pytest.mark.parametrize("access", [None, Access(0), Access(7, (1, 2), (3,))])
def test_it_is_read_as_it_was_written(access: Access | None) -> None:
    meta = replace(image(), access=access)
    assert meta_json.decode(meta_json.encode(meta)) == meta


@pytest.mark.parametrize(
    "access",
    [None, [], {}, {"owner": 1}, {"owner": "1", "users": [], "groups": []}, {"owner": 1, "users": [True], "groups": []},
     {"owner": 1, "users": {}, "groups": []}, {"owner": None, "users": [], "groups": []},
     {"owner": 1, "users": [], "groups": [], "others": []}],
)  # fmt: skip
def test_anything_else_is_refused_and_never_everybodys(access: Any) -> None:  # noqa: ANN401  JSON
    document = json.loads(meta_json.encode(image())) | {"access": access}
    with pytest.raises(ValueError, match="access"):
        meta_json.decode(json.dumps(document).encode())
