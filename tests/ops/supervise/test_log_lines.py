"""Log lines for people."""

import json

from ops.supervise.log_lines import readable


def test_a_role_s_json_becomes_one_line() -> None:
    """Time of day, role, level, text, and the fields in their order."""
    entry = {
        "applied": 3,
        "took": "1 s",
        "event": "migrated",
        "level": "info",
        "logger": "store",
        "timestamp": "2026-01-02T03:04:05.678Z",
    }

    line = readable("store", json.dumps(entry).encode() + b"\n")

    assert line == "03:04:05 store    info    migrated applied=3 took=1 s"


def test_what_is_no_json_stays() -> None:
    """A traceback or the JVM's words pass as they are, under the child's name."""
    assert readable("kafka", b'Exception in thread "main"\n').endswith(
        'kafka    Exception in thread "main"'
    )
    assert readable("kafka", b"\xff{}\n").endswith("\ufffd{}")
    assert readable("edge", b"[1]\n").endswith("[1]")


def test_an_exception_follows_on_its_own_lines() -> None:
    """The stack of a failed role is kept readable."""
    entry = {"event": "failed", "level": "error", "exception": "Traceback\n  boom"}

    assert readable("edge", json.dumps(entry).encode()).splitlines()[1:] == ["Traceback", "  boom"]
