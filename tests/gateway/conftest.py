"""A real gateway with a real munged and real registries beside it. No Slurm: that is tests/cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_registry import need
from gateway.gateways import Gateway, made
from gateway.site import NEEDED, Site, site

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def the_site() -> Iterator[Site]:
    need(*NEEDED)
    with site() as found:
        yield found


@pytest.fixture
def gateway(the_site: Site, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """Of a store of its own; settings of [gateway] come by the marker's argument, `indirect`."""
    number = len(list(the_site.base.glob("gateway*")))
    with made(the_site, f"gateway{number}", getattr(request, "param", "workers = 2")) as found:
        yield found
