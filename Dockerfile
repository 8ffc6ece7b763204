# Two stages: build a wheel and its dependencies, then a slim image without pip's caches or a compiler.

# The full version. To pin the very image, add the digest that `docker buildx imagetools inspect python:3.12.13-slim-trixie`
# prints: python:3.12.13-slim-trixie@sha256:...
ARG BASE=python:3.12.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
# Only files whose hashes are in the locks (`make lock`), and none that would have to be built: that runs their code.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/build && python -m venv /opt/sockudo \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
    && /opt/sockudo/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY sockudo_py ./sockudo_py
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/sockudo/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM ${BASE}
# Group 0 may write too: OpenShift runs images as any user of that group.
RUN useradd --system --uid 10001 --gid 0 --home-dir /var/lib/sockudo --create-home sockudo \
    && chmod 0770 /var/lib/sockudo
COPY --from=build /opt/sockudo /opt/sockudo
# Profiles to start from; mount your own folder over it.
COPY config /etc/sockudo/config
ENV PATH=/opt/sockudo/bin:$PATH \
    PYTHONUNBUFFERED=1
# Relative paths of a configuration, like the default queue's data/queue.sqlite3, are in the volume.
WORKDIR /var/lib/sockudo
VOLUME ["/var/lib/sockudo"]
USER 10001
EXPOSE 6001 9601
# It asks with the file and the options that the server was started with: port, TLS, path prefix.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["sockudo-py", "health", "--pid", "1"]
# SIGTERM drains: clients are told to reconnect in slices, webhooks are flushed. That takes 9 s at most, and `docker stop`
# waits for 10. Whoever raises DRAIN_DELAY, SHUTDOWN_GRACE_PERIOD or QUEUE_SHUTDOWN_TIMEOUT_MS raises that as well:
# `docker stop -t`, `docker run --stop-timeout`, Compose's stop_grace_period, Kubernetes' terminationGracePeriodSeconds
# (docs/stopping.md). A client takes an open file: `docker run --ulimit nofile=`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sockudo-py"]
# It needs SOCKUDO_APP_SECRET: an image must not come with a published secret.
CMD ["start", "--config", "/etc/sockudo/config/container.json"]
