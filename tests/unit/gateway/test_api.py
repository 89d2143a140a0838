"""The description of the interface, the client's values and the page for programs say the same."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spank_container.gateway import models
from spank_container.gateway.answers import Image, Pull, Use, read
from spank_container.gateway.api import build_app
from spank_container.gateway.database import Database
from spank_container.gateway.reference import api_reference
from spank_container.gateway.service import build_service
from spank_container.site_config import SiteConfig

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

PAGE = Path(__file__).parents[3] / "docs/reference/gateway-api.md"


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return build_app(build_service(SiteConfig(), Database(tmp_path / "sqlite")))


def test_the_reference_page_is_generated(app: FastAPI) -> None:
    page = api_reference(app)
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page


@pytest.mark.parametrize(
    ("value", "model"), [(Pull, models.PullAnswer), (Image, models.ImageAnswer), (Use, models.UseAnswer)]
)
def test_client_and_server_know_the_same_members(value: type[Pull | Image | Use], model: type[BaseModel]) -> None:
    assert [one.name for one in fields(value)] == list(model.model_fields)


def test_what_a_later_gateway_says_is_overlooked() -> None:
    found = read(Use, {"digest": "d", "reference": "r", "uid": 1, "count": 2, "first": 0.5, "last": 1.5, "new": []})
    assert found == Use("d", "r", 1, 2, 0.5, 1.5)


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(TypeError):
        read(Use, {"digest": "d"})
