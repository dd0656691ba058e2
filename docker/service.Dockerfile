# The service: reads the alerts, keeps their history, answers HTTP, and shows the page.
# Build it from the root of the repository:  docker build -f docker/service.Dockerfile -t streamgauge/service:0.1.0 .
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# ---- wheel: our code, and the list of what it needs without Flink -----------------------------------------------------
FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python3.11 -m venv /build
COPY constraints.txt ./
RUN /build/bin/pip install -q -c constraints.txt setuptools==80.9.0 wheel==0.45.1 packaging
COPY . .
RUN /build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /dist . \
 && /build/bin/python docker/images/requirements.py /dist/*.whl --without apache-flink --extra serve > /dist/requirements.txt \
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
LABEL org.opencontainers.image.title="streamgauge-service" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 streamgauge \
 && useradd --uid 10001 --gid streamgauge --home-dir /var/lib/streamgauge --no-create-home --shell /usr/sbin/nologin streamgauge \
 && install -d -o streamgauge -g streamgauge /opt/streamgauge/kernels /var/lib/streamgauge
COPY --from=libraries /opt/streamgauge/python /opt/streamgauge/python

# Kernels are compiled for processors since 2013 (AVX2); on arm64 build with --build-arg NUMBA_CPU_NAME=generic.
ARG NUMBA_CPU_NAME=x86-64-v3
ENV PATH=/opt/streamgauge/python/bin:$PATH \
    NUMBA_CPU_NAME=$NUMBA_CPU_NAME \
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
COPY docker/images/healthy.py /opt/streamgauge/images/

USER streamgauge
RUN streamgauge warm --home /opt/streamgauge/kernels \
 && ln -s /opt/streamgauge/kernels/numba/* /opt/streamgauge/kernels/current
ENV NUMBA_CACHE_DIR=/opt/streamgauge/kernels/current
WORKDIR /var/lib/streamgauge

# HTTP
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=6 \
  CMD ["python", "/opt/streamgauge/images/healthy.py", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["streamgauge"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
