from __future__ import annotations

import pytest
from builders import DIGEST, OTHER_DIGEST

from spank_container.errors import ParseError
from spank_container.values.image_ref import Digest, ImageId, ImportedRef, RegistryRef, parse_digest, parse_image_ref

NAME_HINT = "lower-case letters and digits, with '.', '_', '-' and '/' between them"
DIGEST_HINT = "a digest is sha256: and 64 hexadecimal digits"
KIND_HINT = "write docker:NAME:TAG, custom:NAME:TAG or id:DIGEST"
EMPTY_HINT = "give an image, as docker:debian:trixie"


def refusal(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse_image_ref(text)
    return caught.value.report()


def marked(message: str, text: str, marker: str, hint: str) -> str:
    return f"--image: {message}\n    {text}\n    {marker}\nhint: {hint}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("debian", "docker.io", "library/debian", "latest"),
        ("docker:debian:trixie", "docker.io", "library/debian", "trixie"),
        ("ubuntu:14.04", "docker.io", "library/ubuntu", "14.04"),
        ("docker.io/debian", "docker.io", "library/debian", "latest"),
        ("nvidia/cuda:12", "docker.io", "nvidia/cuda", "12"),
        ("registry.x:5000/u/i:t", "registry.x:5000", "u/i", "t"),
        ("registry:5000/i", "registry:5000", "i", "latest"),
        ("localhost/i", "localhost", "i", "latest"),
        ("[fe80::1]:5000/i:t", "[fe80::1]:5000", "i", "t"),
        ("Quay.IO/a/b__c.d--e/f_g", "Quay.IO", "a/b__c.d--e/f_g", "latest"),
        ("foo:bar", "docker.io", "library/foo", "bar"),
        ("docker:docker:custom", "docker.io", "library/docker", "custom"),
        ("a:" + "t" * 128, "docker.io", "library/a", "t" * 128),
        ("a" * 255, "docker.io", "library/" + "a" * 255, "latest"),
    ],
)
def test_names_by_docker_hubs_rules(text: str, registry: str, repository: str, tag: str) -> None:
    assert parse_image_ref(text) == RegistryRef(registry, repository, tag)


def test_a_digest_wins_over_the_tag_but_the_tag_is_kept() -> None:
    bare = parse_image_ref(f"debian@{DIGEST}")
    tagged = parse_image_ref(f"docker:reg.io:5/debian:12@{DIGEST}")
    assert bare == RegistryRef("docker.io", "library/debian", "", DIGEST)
    assert tagged == RegistryRef("reg.io:5", "debian", "12", DIGEST)
    assert isinstance(tagged, RegistryRef)
    assert tagged.name == f"reg.io:5/debian@{DIGEST}"
    assert str(tagged) == f"docker:reg.io:5/debian:12@{DIGEST}"
    assert str(bare) == f"docker:docker.io/library/debian@{DIGEST}"


def test_the_whole_name_is_printed() -> None:
    ref = parse_image_ref("debian")
    assert isinstance(ref, RegistryRef)
    assert ref.name == "docker.io/library/debian:latest"
    assert str(ref) == "docker:docker.io/library/debian:latest"


def test_an_image_of_the_store() -> None:
    assert parse_image_ref(f"id:{DIGEST}") == ImageId(DIGEST)
    assert str(ImageId(OTHER_DIGEST)) == f"id:{OTHER_DIGEST}"


def test_a_digest_may_be_sha512() -> None:
    assert parse_digest("sha512:" + "0" * 128) == Digest("sha512:" + "0" * 128)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "sha256:",
        "sha256:" + "0" * 63,
        "sha256:" + "A" * 64,
        "md5:" + "0" * 32,
        f"{DIGEST}0",
        "sha512:" + "0" * 64,
    ],
)
def test_a_digest_is_whole_or_none(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_digest(text)
    shown = text if len(text) <= 72 else f"{text[:72]}..."
    marker = "^" + "~" * (len(text[:72]) - 1)
    assert caught.value.report() == f"this is no digest\n    {shown}\n    {marker}\nhint: {DIGEST_HINT}"


def test_a_digest_with_a_newline_behind_it_is_none() -> None:
    with pytest.raises(ParseError):
        parse_digest(f"{DIGEST}\n")


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [("custom:load_test:v1", "load_test", "v1"), ("custom:a/b", "a/b", "latest"), ("custom:docker:1", "docker", "1")],
)
def test_imported_images(text: str, name: str, tag: str) -> None:
    assert parse_image_ref(text) == ImportedRef(name, tag)
    assert parse_image_ref(str(ImportedRef(name, tag))) == ImportedRef(name, tag)


@pytest.mark.parametrize(
    ("text", "message", "marker", "hint"),
    [
        ("", "the name is empty", "^", EMPTY_HINT),
        ("docker:", "the name is empty", "       ^", EMPTY_HINT),
        (":12", "the name is empty", "^", EMPTY_HINT),
        ("docker::12", "the name is empty", "       ^", EMPTY_HINT),
        ("debian:", "the tag is empty", "       ^", "give a tag (app:1.2) or a digest (app@sha256:...)"),
        ("r.io:5/a/b:", "the tag is empty", "           ^", "give a tag (app:1.2) or a digest (app@sha256:...)"),
        ("debian:-12", "this is no tag", "       ^~~", "letters, digits, '_', '.' and '-', 128 at most"),
        ("debian:12 ", "this is no tag", "       ^~~", "letters, digits, '_', '.' and '-', 128 at most"),
        ("a:b:c!", "this is no tag", "    ^~", "letters, digits, '_', '.' and '-', 128 at most"),
        ("-x.io/a", "this is no registry", "^~~~~", "write HOST or HOST:PORT"),
        ("x:port/a", "this is no registry", "^~~~~~", "write HOST or HOST:PORT"),
        ("docker:x.io:123456/a", "this is no registry", "       ^~~~~~~~~~~", "write HOST or HOST:PORT"),
        ("Debian:12", "this is no image name", "^~~~~~", NAME_HINT),
        ("a/B/c", "this is no image name", "  ^", NAME_HINT),
        ("a//c", "this is no image name", "  ^", NAME_HINT),
        ("x.io/", "this is no image name", "     ^", NAME_HINT),
        ("/a", "this is no image name", "^", NAME_HINT),
        ("a b", "this is no image name", "^~~", NAME_HINT),
        ("x.io/../b", "this is no image name", "     ^~", NAME_HINT),
        ("a:b:c", "this is no image name", "^~~", NAME_HINT),
        ("id:", "this is no digest", "   ^", DIGEST_HINT),
        ("id:alpine", "this is no digest", "   ^~~~~~", DIGEST_HINT),
        ("debian@", "this is no digest", "       ^", DIGEST_HINT),
        ("a/b@sha256:1234", "this is no digest", "    ^~~~~~~~~~~", DIGEST_HINT),
        ("custom:", "the name is empty", "       ^", EMPTY_HINT),
        ("custom:load:", "the tag is empty", "            ^", "give a tag (app:1.2) or a digest (app@sha256:...)"),
        ("custom:../x", "this is no image name", "       ^~", NAME_HINT),
        ("custom:x.io:5/a", "this is no image name", "       ^~~~~~", NAME_HINT),
        ("local:/", "there are no local: images here", "^~~~~~", KIND_HINT),
        ("docker://debian", "a URL is no image name", "       ^~", KIND_HINT),
        ("https://x.io/a", "a URL is no image name", "      ^~", KIND_HINT),
    ],
)
def test_refusals(text: str, message: str, marker: str, hint: str) -> None:
    assert refusal(text) == marked(message, text, marker, hint)


def test_names_that_are_too_long() -> None:
    assert refusal(f"x.io/{'a' * 256}:1") == marked(
        "the name is too long", "x.io/" + "a" * 67 + "...", "     ^" + "~" * 66, "255 characters at most"
    )
    assert refusal(f"{'a.' * 128}b/c") == marked(
        "this is no registry", "a." * 36 + "...", "^" + "~" * 71, "write HOST or HOST:PORT"
    )
    assert refusal(f"a:{'t' * 129}").startswith("--image: this is no tag\n")
