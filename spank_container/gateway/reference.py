"""docs/reference/gateway-api.md, from the OpenAPI description: the page cannot say what the gateway does not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI

_HEAD = """\
# The image gateway's interface

Generated from the code. For programs; people have `spank-container pull`, `images` and `gateway`, and Python has
`spank_container.gateway.client`. The gateway gives the same as JSON, at `/openapi.json`.

Over the Unix socket the kernel says who asks. Over TCP each request has a header `Authorization: MUNGE CREDENTIAL`, made
with `munge --restrict-uid=ACCOUNT` of the JSON object `{"purpose": "spank-container gateway 1", "method": "GET", "target":
"/v1/images", "sha256": HEX}`, where `target` is the path with its query and `sha256` that of the body. A login at a
registry is the member `secret` of it, `{"user": ..., "password": ...}`; over the Unix socket it is base64 of that object in
the header `Registry-Login`. Whatever is refused is answered by an object with `error` and `hint`.
"""


def api_reference(app: FastAPI) -> str:
    """The page."""
    document = app.openapi()
    parts = [_HEAD]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append("\n".join(_operation(f"{method.upper()} {path}", operation)))
    parts.append("\n".join(_models(document["components"]["schemas"])))
    return "\n".join(parts).rstrip("\n") + "\n"


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## `{title}`\n"
    yield f"{operation['description']}\n"
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "header":
            words = parameter.get("description") or parameter["schema"].get("description", "")
            yield f"- `{parameter['name']}` ({parameter['in']}, {_type(parameter['schema'])}): {words}".rstrip(": ")
    body = operation.get("requestBody")
    if body:
        yield f"- body: {_type(body['content']['application/json']['schema'])}"
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield f"- answer: {status}{_content(answer)}"
    yield ""


def _content(answer: Mapping[str, Any]) -> str:
    found = [_type(one["schema"]) for kind, one in answer.get("content", {}).items() if "json" in kind]
    return f", {found[0]}" if found else ""


def _models(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        if "properties" not in schema or name.startswith(("HTTP", "Validation")):
            continue
        yield f"## {name}\n\n{schema.get('description', '')}\n\n| member | type | meaning |\n|---|---|---|"
        needed = schema.get("required", ())
        for member, inner in schema["properties"].items():
            default = "" if member in needed or "default" not in inner else f", default `{inner['default']!r}`"
            yield f"| `{member}` | {_type(inner)}{default} | {inner.get('description', '')} |"
        yield ""


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum") or [schema["const"]])
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}"
    if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))
