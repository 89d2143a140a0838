"""Who is believed: the kernel, and a MUNGE credential that was made for this very request. Nobody else."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from gateway.gateways import Gateway, made
from gateway.people import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.site import Site

MADE = """
import sys
from spank_container.gateway.credential import Bound, encode
method, target, body, account, socket, secret = sys.argv[1:]
secret = {"user": "alice", "password": secret} if secret else None
print(encode(Bound(method, target, body.encode()), account, secret, socket))
"""


@pytest.fixture(scope="module")
def gateway(the_site: Site) -> Iterator[Gateway]:
    """One for all: nothing here is pulled."""
    with made(the_site, "gateway-auth") as found:
        yield found


def credential(gateway: Gateway, target: str, user: str = "alice", *, method: str = "GET", **more: str) -> str:
    """As the client makes it."""
    words = [method, target, more.get("body", ""), more.get("account", "gate"), gateway.site.munge_socket]
    argv = gateway.site.argv([sys.executable, "-I", "-c", MADE, *words, more.get("secret", "")], user)
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def by_hand(gateway: Gateway, payload: str, *options: str, user: str = "alice") -> str:
    """As somebody else's program makes it."""
    argv = gateway.site.argv(["munge", f"--socket={gateway.site.munge_socket}", *options], user)
    return subprocess.run(argv, input=payload, check=True, capture_output=True, text=True).stdout.strip()


def send(
    gateway: Gateway, target: str, *, method: str = "GET", body: str = "", **headers: str
) -> tuple[int, dict[str, Any]]:
    """The status and the document that came back over TCP."""
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body or None, named)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def payload(target: str, method: str = "GET", body: bytes = b"", **changes: str) -> str:
    members = {"purpose": "spank-container gateway 1", "method": method, "target": target}
    return json.dumps(members | {"sha256": hashlib.sha256(body).hexdigest()} | changes)


def refused(gateway: Gateway, target: str, sent: str) -> str:
    status, said = send(gateway, target, Authorization=f"MUNGE {sent}")
    assert status == 401
    return str(said["error"])


def test_a_fresh_credential_is_believed(gateway: Gateway) -> None:
    sent = credential(gateway, "/v1/pulls")
    assert send(gateway, "/v1/pulls", Authorization=f"MUNGE {sent}")[0] == 200


def test_the_kernel_and_munge_name_the_same_user(gateway: Gateway) -> None:
    reference = f"docker:{gateway.site.public}/absent"
    number = gateway.call("pull", "alice", reference, via=gateway.unix)["id"]
    assert gateway.call("pull", "alice", reference, via=gateway.tcp)["reference"] == f"{reference}:latest"
    assert number in [pull["id"] for pull in gateway.call("pulls", "alice", via=gateway.tcp)]
    for address in (gateway.unix, gateway.tcp):
        assert gateway.call("pulls", "bob", via=address) == []


@pytest.mark.parametrize("path", ["pulls", "pulls/1", "images", "usage", "lookup?reference=x"])
@pytest.mark.parametrize("header", ["", "MUNGE", "MUNGE ", "Bearer x", "Basic YTpi", "MUNGE MUNGE:garbage:"])
def test_nobody_in_particular_learns_nothing(gateway: Gateway, path: str, header: str) -> None:
    status, said = send(gateway, f"/v1/{path}", **({"Authorization": header} if header else {}))
    assert status == 401
    assert said["error"] in {"this needs a MUNGE credential", "the credential is not valid"}


def test_anybody_may_ask_whether_it_works(gateway: Gateway) -> None:
    status, said = send(gateway, "/healthz")
    assert (status, said["status"]) == (200, "ok")


def test_one_that_was_used(gateway: Gateway) -> None:
    sent = credential(gateway, "/v1/images")
    assert send(gateway, "/v1/images", Authorization=f"MUNGE {sent}")[0] == 200
    assert refused(gateway, "/v1/images", sent) == "the credential was used before"


def test_one_that_was_stolen_opens_no_other_door(gateway: Gateway) -> None:
    sent = credential(gateway, "/v1/images")
    assert refused(gateway, "/v1/pulls", sent) == "the credential is for another request"
    sent = credential(gateway, "/v1/lookup?reference=a")
    assert refused(gateway, "/v1/lookup?reference=b", sent) == "the credential is for another request"


@pytest.mark.parametrize("change", ["method", "body"])
def test_one_for_another_method_or_body(gateway: Gateway, change: str) -> None:
    body = json.dumps({"reference": "docker:debian"})
    made_for = {"method": "POST", "body": body} | ({"method": "PUT"} if change == "method" else {"body": "{}"})
    sent = credential(gateway, "/v1/pulls", **made_for)
    status, said = send(gateway, "/v1/pulls", method="POST", body=body, Authorization=f"MUNGE {sent}")
    assert (status, said["error"]) == (401, "the credential is for another request")
    assert "docker:docker.io/library/debian:latest" not in [
        pull["reference"] for pull in gateway.call("pulls", "carol")
    ]


def test_one_that_is_too_old(gateway: Gateway) -> None:
    sent = by_hand(gateway, payload("/v1/images"), "--restrict-uid=gate", "--ttl=1")
    time.sleep(2.5)
    assert refused(gateway, "/v1/images", sent) == "the credential has expired"


def test_one_for_somebody_else(gateway: Gateway) -> None:
    sent = credential(gateway, "/v1/images", account="bob")
    assert refused(gateway, "/v1/images", sent) == "the credential is for somebody else"


def test_one_that_anybody_can_read(gateway: Gateway) -> None:
    sent = by_hand(gateway, payload("/v1/images"))
    assert refused(gateway, "/v1/images", sent) == "the credential is not for the gateway alone"


@pytest.mark.parametrize("text", ["", "hello", "[]", '"x"', "[" * 9999])
def test_one_of_another_program(gateway: Gateway, text: str) -> None:
    sent = by_hand(gateway, text, "--restrict-uid=gate")
    assert refused(gateway, "/v1/images", sent) == "the credential is for another program"


def test_one_for_another_purpose(gateway: Gateway) -> None:
    sent = by_hand(gateway, payload("/v1/images", purpose="spank-container gateway 2"), "--restrict-uid=gate")
    assert refused(gateway, "/v1/images", sent) == "the credential is for another request"


def test_one_of_another_munge_realm(gateway: Gateway) -> None:
    sent = credential(gateway, "/v1/images")
    kind, body, end = sent.split(":")
    changed = body[:-8] + ("A" if body[-8] != "A" else "B") + body[-7:]
    assert refused(gateway, "/v1/images", f"{kind}:{changed}:{end}") == "the credential is not valid"


def test_forwarded_addresses_mean_nothing(gateway: Gateway) -> None:
    status, _ = send(gateway, "/v1/images", X_Forwarded_For="unix-peer:0", X_Forwarded_Proto="https")
    assert status == 401


def test_a_login_in_the_clear_is_refused(gateway: Gateway) -> None:
    body = json.dumps({"reference": "docker:debian"})
    sent = credential(gateway, "/v1/pulls", method="POST", body=body)
    login = base64.b64encode(b'{"user": "alice", "password": "hush"}').decode()
    status, said = send(
        gateway, "/v1/pulls", method="POST", body=body, Authorization=f"MUNGE {sent}", Registry_Login=login
    )
    assert (status, said["error"]) == (400, "a login was sent in the clear, and is not used")
    assert "docker:docker.io/library/debian:latest" not in [
        pull["reference"] for pull in gateway.call("pulls", "carol")
    ]


@pytest.mark.parametrize("address", ["unix", "tcp"])
@pytest.mark.parametrize("user", ["", "a:b", "a\nb"])
def test_what_is_no_login_is_refused(gateway: Gateway, address: str, user: str) -> None:
    with pytest.raises(Refused) as caught:
        gateway.call("pull", "alice", "docker:debian", login=(user, "hush"), via=getattr(gateway, address))
    assert str(caught.value) == "the login that was sent is no name and password"
    assert "hush" not in gateway.log()


def test_only_admins_are_admins(gateway: Gateway) -> None:
    with pytest.raises(Refused, match="only administrators let images expire"):
        gateway.call("expire", "alice")
    assert gateway.call("expire", "carol") == []
    assert gateway.call("expire", "root") == []


def test_one_user_cannot_hold_all_connections(gateway: Gateway) -> None:
    holding = """
import socket, sys, time
ends = []
for _ in range(100):
    end = socket.socket(socket.AF_UNIX)
    end.connect(sys.argv[1])
    ends.append(end)
print("held", flush=True)
time.sleep(60)
"""
    argv = gateway.site.argv([sys.executable, "-I", "-c", holding, f"{gateway.base}/run/socket"], "alice")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            assert gateway.call("images", "bob") == []
            with pytest.raises(Refused, match="broke off"):
                gateway.call("images", "alice")
        finally:
            process.kill()


def test_a_request_may_not_be_large(gateway: Gateway) -> None:
    body = json.dumps({"reference": "docker:" + "a" * (70 << 10)})
    sent = credential(gateway, "/v1/pulls", method="POST", body="{}")
    status, said = send(gateway, "/v1/pulls", method="POST", body=body, Authorization=f"MUNGE {sent}")
    assert (status, said["error"]) == (413, "a request has 65536 bytes at most")
