# Flink and the stream jobs: one image for the job manager, the task managers and the process that keeps the job running.
# PyFlink's package holds a whole Flink, so that client and cluster can't differ in version, and it is the one that
# the local stack runs. Which of them a container is, its command says.
# From the root of the checkout: docker build -f deploy/docker/flink.Dockerfile -t pitwall/flink .

FROM maven:3.9.11-eclipse-temurin-17 AS jars
WORKDIR /build
COPY flink_jobs/pom.xml flink_jobs/jars.sha256 flink_jobs/s3.sha256 flink_jobs/
COPY flink_jobs/src flink_jobs/src
COPY proto/haul proto/haul
RUN ["mvn", "--batch-mode", "--quiet", "--file", "flink_jobs/pom.xml"]
WORKDIR /build/flink_jobs/target/libs
RUN ["sha256sum", "--check", "--quiet", "/build/flink_jobs/jars.sha256"]
# For a checkpoint_dir in S3.
WORKDIR /build/flink_jobs/target/plugins/s3-fs-presto
RUN ["mvn", "--batch-mode", "--quiet", "--file", "/build/flink_jobs/pom.xml", "dependency:copy@s3"]
RUN ["sha256sum", "--check", "--quiet", "/build/flink_jobs/s3.sha256"]

# The full image: some of PyFlink's packages come as sources, and one of them is in C.
FROM python:3.11.14-bookworm AS packages
RUN python -m venv /opt/flink
COPY flink_jobs/build.lock flink_jobs/requirements.lock /tmp/
RUN ["/opt/flink/bin/python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", \
     "--require-hashes", "--requirement", "/tmp/build.lock"]
RUN ["/opt/flink/bin/python", "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", \
     "--no-build-isolation", "--require-hashes", "--requirement", "/tmp/requirements.lock"]

FROM eclipse-temurin:17.0.16_8-jre-jammy AS java

FROM python:3.11.14-slim-bookworm
# Folders that volumes are mounted on: a new volume takes their owner.
RUN groupadd --gid 10001 pitwall \
 && useradd --uid 10001 --gid pitwall --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pitwall \
 && install --directory --owner pitwall --group pitwall --mode 0750 /etc/pitwall /etc/flink /var/lib/flink
COPY --from=java /opt/java/openjdk /opt/java/openjdk
COPY --from=packages /opt/flink /opt/flink
ENV JAVA_HOME=/opt/java/openjdk FLINK_HOME=/opt/flink/lib/python3.11/site-packages/pyflink
COPY --from=jars /build/flink_jobs/target/plugins/s3-fs-presto $FLINK_HOME/plugins/s3-fs-presto
ENV PATH=/opt/flink/bin:$FLINK_HOME/bin:$JAVA_HOME/bin:$PATH PYTHONPATH=/app FLINK_PLUGINS_DIR=$FLINK_HOME/plugins
# What Flink's scripts write beside their output goes where a read-only root lets them.
ENV FLINK_LOG_DIR=/tmp FLINK_PID_DIR=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY deploy/docker/healthz.py ./
COPY pitwall/__init__.py ./pitwall/
COPY pitwall/domain ./pitwall/domain
COPY flink_jobs ./flink_jobs
COPY --from=jars /build/flink_jobs/target/pitwall-flink.jar ./flink_jobs/target/
COPY --from=jars /build/flink_jobs/target/libs ./flink_jobs/target/libs
RUN ["python", "-m", "compileall", "-q", "."]
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=3 CMD ["python", "/app/healthz.py"]
ENTRYPOINT ["python", "-m", "flink_jobs"]
CMD ["--config", "/etc/pitwall/config.toml"]
