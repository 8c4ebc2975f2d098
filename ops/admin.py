"""The admin API of a running store role, as the command line calls it."""

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.query import Service

_PATH = "/api/v1/admin"
# Limits whose name ends in _label are names of labels.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]*")


class LimitError(Exception):
    """A limit on the command line is not NAME=VALUE."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Requests with an administrator's key; answers are what the API says, read from JSON."""

    service: Service

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        **parameters: object,
    ) -> Any:
        """Send a request below the admin path; parameters that are None are left out.

        Raises ApiError in the store's own words.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        query = f"?{urllib.parse.urlencode(given)}" if given else ""
        payload = None if body is None else json.dumps(body).encode()
        answer = self.service.ask(method, f"{_PATH}{path}{query}", payload)
        return json.loads(answer) if answer else None


def quoted(name: str) -> str:
    """Return a name as a part of a path."""
    return urllib.parse.quote(name, safe="")


def parse_limits(texts: list[str]) -> dict[str, int | bool | str | None]:
    """Return limits given as NAME=VALUE: a number, true, false, none or a word.

    Raises LimitError.
    """
    limits: dict[str, int | bool | str | None] = {}
    words: dict[str, bool | None] = {"true": True, "false": False, "none": None}
    for text in texts:
        name, equals, value = text.partition("=")
        number = value.replace("_", "")
        if equals and value.lower() in words:
            limits[name] = words[value.lower()]
        elif equals and number.isdecimal():
            limits[name] = int(number)
        elif name.endswith("_label") and _WORD.fullmatch(value):
            limits[name] = value
        else:
            raise LimitError(
                f"{text!r}: give NAME=VALUE, the value a number, true, false, none (no "
                "limit) or a label's name, for example max_labels=40"
            )
    return limits
