# Two stages: build a wheel and its dependencies, then a slim image without pip's caches or a compiler.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sockudo_py ./sockudo_py
RUN python -m venv /opt/sockudo && /opt/sockudo/bin/pip install --no-cache-dir .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/sockudo --create-home sockudo
COPY --from=build /opt/sockudo /opt/sockudo
# Profiles to start from; mount your own folder over it.
COPY config /etc/sockudo/config
ENV PATH=/opt/sockudo/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /etc/sockudo
VOLUME ["/var/lib/sockudo"]
USER sockudo
EXPOSE 6001 9601
# PORT is honoured here because the server honours it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '6001') + '/up', timeout=2)"]
# SIGTERM drains: clients are told to reconnect in slices, webhooks are flushed.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sockudo-py"]
# It needs SOCKUDO_APP_SECRET: an image must not come with a published secret.
CMD ["start", "--config", "config/container.json"]
