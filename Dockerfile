# Two stages: the compiler stays in the first.
FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY native native
COPY ferrite_py ferrite_py
RUN python -m venv /opt/ferrite && /opt/ferrite/bin/pip install --no-cache-dir .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/ferrite /opt/ferrite
COPY ferrite.toml.example /etc/ferrite/ferrite.toml
# A number that Kubernetes can tell from root's, and that owns what lies in a volume at /data.
RUN useradd --system --uid 10001 --home-dir /data --create-home ferrite
USER 10001
WORKDIR /data
VOLUME /data
# The Redis protocol; /metrics, /health and /ready, once metrics.bind lets others in.
EXPOSE 6379 9090
STOPSIGNAL SIGTERM
# Any answer but a refusal for lack of room shows that it serves; one that asks for a password, too.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=6 CMD ["/opt/ferrite/bin/python", "-c", "import socket; s = socket.create_connection(('127.0.0.1', 6379), 2); s.sendall(b'PING\\r\\n'); assert s.recv(64).startswith((b'+PONG', b'-NOAUTH', b'-LOADING'))"]
ENTRYPOINT ["/opt/ferrite/bin/ferrite-py"]
# Inside a container the loopback interface serves nobody. Without a password, protected mode still
# refuses clients from outside: set one, or see docker-compose.yaml.
CMD ["--config", "/etc/ferrite/ferrite.toml", "--bind", "0.0.0.0"]
