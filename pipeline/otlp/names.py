"""Names of OTLP metrics, units and attributes as Prometheus writes them.

OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", sections on metric
metadata, sums and metric attributes; where that leaves a choice, as Prometheus' OTLP endpoint.
"""

import re

# UCUM codes (ucum.org) of semantic conventions, and the words for them.
_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tebibytes",
    "kBy": "kilobytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
# Behind a slash, in the singular.
_PER_UNITS = {
    "s": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_NOT_IN_METRIC_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABEL_NAMES = re.compile(r"[^a-zA-Z0-9]+")
_RESERVED = re.compile(r"__[a-zA-Z0-9_]+__")
_DIGIT_FIRST = re.compile(r"[0-9]")


def unit_words(unit: str) -> list[str]:
    """Return the words of a unit: "By/s" is ["bytes", "per_second"]; [] without one.

    What stands in braces is a note, not a unit.
    """
    main, _, per = (part.strip() for part in unit.partition("/"))
    words = [_clean(_UNITS.get(main, main))] if "{" not in main and "}" not in main else [""]
    if per and "{" not in per and "}" not in per and (cleaned := _clean(_PER_UNITS.get(per, per))):
        words.append("per_" + cleaned)
    return [word for word in words if word]


def metric_name(name: str, unit: str, *, is_gauge: bool, is_counter: bool) -> str:
    """Return the name of a metric: its words, those of its unit, and what its type adds.

    "http.server.duration" in "s" is http_server_duration_seconds; a counter ends in _total.
    """
    words = [word for word in _NOT_IN_METRIC_NAMES.split(name) if word]
    words += [word for word in unit_words(unit) if word not in words]
    last = "total" if is_counter else "ratio" if is_gauge and unit == "1" else ""
    if last:
        words = [word for word in words if word != last] + [last]
    joined = "_".join(words)
    return "_" + joined if _DIGIT_FIRST.match(joined) else joined


def label_name(key: str) -> str:
    """Return the name of a label for the key of an attribute: "http.method" is http_method."""
    if _RESERVED.fullmatch(key):
        return key
    name = _NOT_IN_LABEL_NAMES.sub("_", key)
    if _DIGIT_FIRST.match(name):
        return "key_" + name
    return "key" + name if name.startswith("_") else name


def _clean(unit: str) -> str:
    return _NOT_IN_METRIC_NAMES.sub("_", unit).strip("_")
