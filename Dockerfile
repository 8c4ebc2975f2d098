# One image for the four roles; Kafka and ClickHouse have their own (docker-compose.yml).
FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/observai
COPY requirements.lock pyproject.toml README.md LICENSE ./
# Set-up by the lock file, as `make setup` does it.
RUN sed -n '/^uv==/,/[^\\]$/p' requirements.lock > /tmp/uv.lock \
    && python -m venv .venv \
    && .venv/bin/pip install --quiet --require-hashes -r /tmp/uv.lock \
    && VIRTUAL_ENV=/opt/observai/.venv .venv/bin/uv pip sync --compile-bytecode --require-hashes requirements.lock
COPY schemas schemas
COPY pipeline pipeline
COPY topology topology
COPY ops ops
RUN VIRTUAL_ENV=/opt/observai/.venv .venv/bin/uv pip install --no-deps --no-build-isolation -e . \
    # Kafka is external here, so only the kernels are compiled.
    && .venv/bin/python -m compileall -q schemas pipeline topology ops \
    && OBSERVAI_KAFKA=kafka:9092 .venv/bin/observai setup

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 observai && install -d -o observai /data
# Owned by the user: numba passes over a cache that it cannot write to.
COPY --from=build --chown=observai /opt/observai /opt/observai
ENV PATH=/opt/observai/.venv/bin:$PATH OBSERVAI_DATA_DIR=/data OBSERVAI_HOST=0.0.0.0
USER observai
WORKDIR /data
VOLUME /data
ENTRYPOINT ["observai"]
CMD ["--help"]
