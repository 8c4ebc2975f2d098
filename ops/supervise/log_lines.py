"""Log lines as a person reads them, from the JSON that the roles print."""

import json

_OWN_KEYS = {"timestamp", "level", "logger", "event", "exception"}


def readable(name: str, line: bytes) -> str:
    """Return `12:00:01 store    info   text key=value`; a line that is no JSON stays as it is."""
    text = line.decode(errors="replace").rstrip()
    try:
        entry = json.loads(text)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or "event" not in entry:
        return f"{'':8} {name:8} {text}"
    time_of_day = str(entry.get("timestamp", ""))[11:19]
    fields = "".join(f" {key}={value}" for key, value in entry.items() if key not in _OWN_KEYS)
    exception = f"\n{entry['exception']}" if entry.get("exception") else ""
    level = entry.get("level", "")
    return f"{time_of_day:8} {name:8} {level:7} {entry['event']}{fields}{exception}"
