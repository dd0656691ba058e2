# The Flink job: Flink and Python 3.11 with the wheel, the connector of Kafka, and compiled kernels. JobManager and TaskManagers use it.
# Build it from the root of the repository:  docker build -f docker/job.Dockerfile -t streamgauge/job:0.1.0 .
# Only for amd64, because Flink's embedded Python (pemja) has no build for other processors.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG MAVEN_IMAGE=maven:3.9.11-eclipse-temurin-17

# ---- jars: the connector of Kafka, and checkpoints in S3 as a plugin --------------------------------------------------
FROM ${MAVEN_IMAGE} AS jars
ARG FLINK_VERSION=2.3.0
WORKDIR /jars
COPY flink-conf/pom.xml ./
RUN mvn -q -B dependency:copy@flink-connector -Djars=/jars \
 && mvn -q -B dependency:copy -Dartifact=org.apache.flink:flink-s3-fs-hadoop:${FLINK_VERSION} \
      -DoutputDirectory=/jars/plugins/s3-fs-hadoop

# ---- wheel: our code, and the list of what it needs -------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python3.11 -m venv /build
COPY constraints.txt ./
RUN /build/bin/pip install -q -c constraints.txt setuptools==80.9.0 wheel==0.45.1 packaging
COPY . .
RUN /build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /dist . \
 && /build/bin/python docker/images/requirements.py /dist/*.whl > /dist/requirements.txt \
 && sha256sum /dist/*.whl > /dist/wheel.sha256

# ---- libraries: a layer that stays the same while our code changes ----------------------------------------------------
FROM ${PYTHON_IMAGE} AS libraries
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt /tmp/
COPY --from=wheel /dist/requirements.txt /tmp/
RUN python3.11 -m venv /opt/streamgauge/python \
 && /opt/streamgauge/python/bin/pip install -q -c /tmp/constraints.txt -r /tmp/requirements.txt \
 && /opt/streamgauge/python/bin/pip check

# ---- the image --------------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="streamgauge-job" org.opencontainers.image.licenses="Apache-2.0"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libjemalloc2 openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 9999 flink \
 && useradd --uid 9999 --gid flink --home-dir /opt/flink --no-create-home --shell /usr/sbin/nologin flink \
 && install -d -o flink -g flink /opt/flink /opt/streamgauge/kernels /var/lib/streamgauge \
 && install -d -o 10001 -g 10001 /models
COPY --from=libraries /opt/streamgauge/python /opt/streamgauge/python

# Kernels are compiled for processors since 2013 (AVX2) and not for the one that builds, or a TaskManager elsewhere compiles them again.
ENV PATH=/opt/streamgauge/python/bin:/opt/flink/bin:$PATH \
    JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64 \
    FLINK_HOME=/opt/flink \
    FLINK_CONF_DIR=/opt/flink/conf \
    FLINK_LOG_DIR=/opt/flink/log \
    FLINK_PID_DIR=/tmp \
    NUMBA_CPU_NAME=x86-64-v3 \
    NUMBA_CPU_FEATURES= \
    PYTHONUNBUFFERED=1 \
    STREAMGAUGE_HOME=/var/lib/streamgauge

# Podman and buildah do not see that a mounted folder has changed, and would take our old code from their cache. They see it of this file.
COPY --from=wheel /dist/wheel.sha256 /opt/streamgauge/
# Our code. Times of whole seconds, because an archive of a layer keeps no others, and numba compares them with those of its kernels.
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip install -q --no-cache-dir --no-deps --no-compile /dist/*.whl \
 && find /opt/streamgauge/python/lib/python3.11/site-packages/streamgauge -name '*.py' -exec touch -d @1700000000 {} + \
 && python -m compileall -q /opt/streamgauge/python/lib/python3.11/site-packages/streamgauge
COPY docker/images/create_topics.py docker/images/healthy.py docker/images/make_flink_home.py docker/images/log4j-console.properties \
     /opt/streamgauge/images/
COPY docker/images/entrypoint.sh /docker-entrypoint.sh
COPY --from=jars /jars/flink /opt/streamgauge/jars/flink
COPY --from=jars /jars/plugins /opt/streamgauge/jars/plugins

USER flink
RUN python /opt/streamgauge/images/make_flink_home.py --home /opt --jars /opt/streamgauge/jars \
      --logging /opt/streamgauge/images/log4j-console.properties --state /var/lib/streamgauge \
 && mkdir -p /opt/flink/log \
 && streamgauge warm --home /opt/streamgauge/kernels \
 && ln -s /opt/streamgauge/kernels/numba/* /opt/streamgauge/kernels/current
ENV NUMBA_CACHE_DIR=/opt/streamgauge/kernels/current \
    LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
WORKDIR /var/lib/streamgauge

# RPC, blobs, REST and UI, metrics
EXPOSE 6123 6124 8081 9249
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=6 \
  CMD ["python", "/opt/streamgauge/images/healthy.py", "http://127.0.0.1:9249/metrics"]
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD []
