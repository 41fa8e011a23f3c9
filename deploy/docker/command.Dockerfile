# The command service. Its journal lies in /var/lib/pitwall/data/<its name>: mount what lasts there.
# From the root of the checkout: docker build -f deploy/docker/command.Dockerfile -t pitwall/command .

# The first two stages are the same in every service's file, so that one machine builds and keeps them once.
FROM python:3.11.14-slim-bookworm AS packages
RUN python -m venv /opt/pitwall
COPY deploy/docker/services.lock /tmp/services.lock
RUN ["/opt/pitwall/bin/python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", \
     "--only-binary", ":all:", "--require-hashes", "--requirement", "/tmp/services.lock"]

FROM python:3.11.14-slim-bookworm AS base
# Folders that volumes are mounted on: a new volume takes their owner.
RUN groupadd --gid 10001 pitwall \
 && useradd --uid 10001 --gid pitwall --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pitwall \
 && install --directory --owner pitwall --group pitwall --mode 0750 /etc/pitwall /run/vehicles \
      /var/lib/pitwall /var/lib/pitwall/certs /var/lib/pitwall/tokens /var/lib/pitwall/data /var/lib/pitwall/plant \
 && install --directory --owner pitwall --group pitwall --mode 0755 /run/passwords/postgres /run/passwords/grafana
COPY --from=packages /opt/pitwall /opt/pitwall
ENV PATH=/opt/pitwall/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY deploy/docker/healthz.py ./
COPY proto/gen/haul ./haul
COPY pitwall ./pitwall

FROM base
COPY command_service ./command_service
RUN ["python", "-m", "compileall", "-q", "."]
# A folder for each journal, named as its command service: the step that makes those of a new site has all of them.
RUN ["install", "--directory", "--owner", "pitwall", "--group", "pitwall", "--mode", "0750", \
     "/var/lib/pitwall/data/command-1", "/var/lib/pitwall/data/command-2", "/var/lib/pitwall/data/command-3", \
     "/var/lib/pitwall/data/command-4", "/var/lib/pitwall/data/command-5"]
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "/app/healthz.py"]
ENTRYPOINT ["python", "-m", "command_service"]
CMD ["--config", "/etc/pitwall/config.toml"]
