"""Holds an API against its OpenAPI document: what is said of each operation, whatever is sent."""

from typing import Any

import httpx

BODIES = (
    *(b"", b"[]", b'"\\ud800"', b"\xff\xfe", b"[" * 2000, b'{"name": 5}', b'{"scopes": "x"}'),
    *(b'{"set": {"max_labels": "x"}}', b"a b c d", b"\x0a\xff\xff\xff\xff\x0f"),
)
PLACES = ("x", "a%00" + "%F0%9F%92%A9" * 99)
_FAILED = 500


async def check_document(client: httpx.AsyncClient, document: dict[str, Any], key: str) -> None:
    """Send each operation what it is made for and what it is not."""
    assert document["openapi"] == "3.1.0"
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            await _check(client, key, path, method, operation)


async def _check(
    client: httpx.AsyncClient, key: str, path: str, method: str, operation: dict[str, Any]
) -> None:
    """Only what is documented comes, nothing fails, and without a key nothing is told."""
    parameters = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
    bodies = BODIES if "requestBody" in operation else (b"",)
    types = operation.get("requestBody", {}).get("content", {"text/plain": {}})
    for place in PLACES if parameters else ("",):
        target = path
        for name in parameters:
            target = target.replace(f"{{{name}}}", place)
        if "security" in operation:
            answer = await client.request(method, target, headers={"Authorization": "Bearer no"})
            assert answer.status_code == 401, (method, target)
        for media_type in types:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": media_type}
            for body in bodies:
                answer = await client.request(method, target, content=body, headers=headers)
                told = (method, target, media_type, body[:20], answer.status_code, answer.text[:80])
                assert str(answer.status_code) in operation["responses"], told
                assert answer.status_code < _FAILED, told
