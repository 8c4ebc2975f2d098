"""Hypothesis strategies for requests of OTLP metrics, sound and odd ones."""

from hypothesis import strategies as st

from tests.vectors.otlp import T_NS, make_request

text = st.text("ab._-ü1", max_size=4)
times = st.sampled_from([0, 1, T_NS, 2**63 + 5, 2**64 - 1])
doubles = st.floats(width=64)
finite = st.floats(-1e9, 1e9)


def any_values(depth: int = 0) -> st.SearchStrategy[dict[str, object]]:
    plain = {
        "string_value": text,
        "bool_value": st.booleans(),
        "int_value": st.integers(-(2**63), 2**63 - 1),
        "double_value": finite,
        "bytes_value": st.binary(max_size=3),
    }
    kinds = [st.just({}), *(st.fixed_dictionaries({kind: of}) for kind, of in plain.items())]
    if depth < 2:
        values = st.deferred(lambda: any_values(depth + 1))
        pairs = st.dictionaries(text, values, max_size=2).map(
            lambda found: [{"key": key, "value": value} for key, value in found.items()]
        )
        for kind, of in (("array_value", st.lists(values, max_size=2)), ("kvlist_value", pairs)):
            nested = st.fixed_dictionaries({"values": of})
            kinds.append(st.fixed_dictionaries({kind: nested}))
    return st.one_of(kinds)


attributes = st.lists(st.fixed_dictionaries({"key": text, "value": any_values()}), max_size=3)
heads = {
    "attributes": attributes,
    "flags": st.sampled_from([0, 0, 0, 1, 3]),
    "time_unix_nano": times,
}
counting = {"start_time_unix_nano": times}
counts = st.integers(0, 2**40)


@st.composite
def number_points(draw: st.DrawFn) -> dict[str, object]:
    point = draw(st.fixed_dictionaries(heads | counting))
    value = draw(st.sampled_from(["as_double", "as_int", ""]))
    if value:
        point[value] = draw(doubles if value == "as_double" else st.integers(-(2**63), 2**63 - 1))
    return point


@st.composite
def histogram_points(draw: st.DrawFn) -> dict[str, object]:
    point = draw(st.fixed_dictionaries(heads | counting | {"count": counts}))
    if draw(st.booleans()):
        point["sum"] = draw(doubles)
    bounds = draw(st.lists(doubles, max_size=4))
    point["explicit_bounds"] = sorted(set(bounds)) if draw(st.booleans()) else bounds
    n_counts = len(bounds) + draw(st.sampled_from([1, 1, 1, 0]))
    point["bucket_counts"] = draw(st.lists(counts, min_size=n_counts, max_size=n_counts))
    return point


buckets = st.fixed_dictionaries(
    {"offset": st.integers(-600, 600), "bucket_counts": st.lists(counts, max_size=9)}
)


@st.composite
def exponential_points(draw: st.DrawFn) -> dict[str, object]:
    more = {
        "count": counts,
        "scale": st.integers(-3, 20),
        "zero_count": st.sampled_from([0, 0, 7]),
        "positive": buckets,
        "negative": buckets,
    }
    point = draw(st.fixed_dictionaries(heads | counting | more))
    if draw(st.booleans()):
        point["sum"] = draw(doubles)
    return point


summary_points = st.fixed_dictionaries(
    heads
    | counting
    | {
        "count": counts,
        "sum": doubles,
        "quantile_values": st.lists(
            st.fixed_dictionaries({"quantile": st.floats(0, 1), "value": doubles}), max_size=3
        ),
    }
)


@st.composite
def metrics(draw: st.DrawFn) -> dict[str, object]:
    metric: dict[str, object] = {
        "name": draw(text),
        "unit": draw(st.sampled_from(["", "1", "s", "By/s", "{x}"])),
        "description": draw(text),
    }
    points = {
        "gauge": number_points(),
        "sum": number_points(),
        "histogram": histogram_points(),
        "exponential_histogram": exponential_points(),
        "summary": summary_points,
    }
    kind = draw(st.sampled_from([*points, ""]))
    if kind:
        inner: dict[str, object] = {"data_points": draw(st.lists(points[kind], max_size=3))}
        if kind not in {"gauge", "summary"}:
            inner["aggregation_temporality"] = draw(st.sampled_from([0, 1, 2, 2]))
        if kind == "sum":
            inner["is_monotonic"] = draw(st.booleans())
        metric[kind] = inner
    return metric


scopes = st.fixed_dictionaries({"name": text, "version": text, "attributes": attributes})
resources = st.fixed_dictionaries(
    {
        "resource": st.fixed_dictionaries(
            {
                "attributes": st.lists(
                    st.fixed_dictionaries(
                        {
                            "key": st.sampled_from(
                                ["service.name", "service.namespace", "service.instance.id", "x.y"]
                            ),
                            "value": any_values(),
                        }
                    ),
                    max_size=3,
                )
            }
        ),
        "scope_metrics": st.lists(
            st.fixed_dictionaries({"scope": scopes, "metrics": st.lists(metrics(), max_size=3)}),
            max_size=2,
        ),
    }
)
requests = st.lists(resources, max_size=2).map(make_request)
