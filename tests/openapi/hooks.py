"""What schemathesis cannot know by itself: bodies of bytes, and which key is its own."""

import os
from typing import Any

import schemathesis
from hypothesis import strategies as st

PROTOBUF = "application/x-protobuf"
# It learns ids from answers, and would end the key that it asks with.
OWN_KEY_ENV = "OWN_KEY_ID"


def as_it_is(_: Any, value: Any) -> Any:
    """Send what was made; what is made for another type as its text."""
    return value if isinstance(value, bytes) else str(value).encode()


def before_call(_: Any, case: Any, __: Any) -> None:
    """Leave the own key alone."""
    parameters = case.path_parameters or {}
    if parameters.get("key_id") == os.environ[OWN_KEY_ENV]:
        parameters["key_id"] = "another"


schemathesis.openapi.media_type(PROTOBUF, st.binary(max_size=200))
schemathesis.serializer(PROTOBUF)(as_it_is)
schemathesis.hook(before_call)
