# The worker as an image: `docker build -t media-worker .`; docker-compose.yml shows it in use.
FROM python:3.13.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/build && python -m venv /opt/media-worker
WORKDIR /src

# The dependencies come first: they change less often than the code.
COPY requirements/ requirements/
RUN /opt/media-worker/bin/pip install --require-hashes -r requirements/run.txt \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY sql/ sql/
COPY worker/ worker/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/media-worker/bin/pip install --no-deps dist/*.whl


FROM python:3.13.14-slim-bookworm
RUN useradd --system --no-create-home --shell /usr/sbin/nologin media-worker
COPY --from=build /opt/media-worker /opt/media-worker
ENV PATH=/opt/media-worker/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /tmp
USER media-worker
ENTRYPOINT ["media-worker"]
CMD ["run"]
