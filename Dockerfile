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
RUN useradd --system --home-dir /data --create-home ferrite
USER ferrite
WORKDIR /data
EXPOSE 6379
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/ferrite/bin/ferrite-py"]
# Inside a container the loopback interface serves nobody. Without a password, protected mode still
# refuses clients from outside: set one, or see docker-compose.yaml.
CMD ["--config", "/etc/ferrite/ferrite.toml", "--bind", "0.0.0.0"]
