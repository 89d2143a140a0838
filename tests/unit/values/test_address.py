"""Addresses of services."""

from __future__ import annotations

import pytest

from spank_container.errors import ParseError
from spank_container.values.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x/socket", Address(path="/run/x/socket")),
        ("login", Address(host="login", port=8650)),
        ("login:1", Address(host="login", port=1)),
        ("10.0.0.1:65535", Address(host="10.0.0.1", port=65535)),
        ("[::1]", Address(host="::1", port=8650)),
        ("[fe80::1]:80", Address(host="fe80::1", port=80)),
    ],
)
def test_what_is_one(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", ":", ":80", "login:", "login:0", "login:65536", "login:x", "login:\N{ARABIC-INDIC DIGIT ONE}", "::1", "a b",
     "unix:socket", "unix:/" + "x" * 200, "http://login", "-x", "login:" + "9" * 5000],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ParseError, match="this is no address"):
        parse_address(text)
