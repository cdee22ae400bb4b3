# The serving image of one bundle. `mlops image` writes the context and builds it:
#   app/               the server's own modules
#   bundle/            the model, its signature and the digests that are verified at the start
#   requirements.txt   the lock of the bundle's format
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS packages
WORKDIR /build
COPY requirements.txt .
# Wheels only, each with the digest of the lock; what is only needed to develop is left out. Files get one fixed time,
# so that the layer is the same whenever it is built.
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: --disable-pip-version-check \
        --root-user-action ignore --target /packages -r requirements.txt \
 && rm -rf /packages/bin \
 && find /packages -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} + \
 && find /packages -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' -o -name RECORD \) -delete \
 && find /packages -exec touch --no-dereference --date=@946684800 {} +

FROM python:${PYTHON}-slim
ARG NAME
ARG VERSION
ARG REVISION
ARG RUN
ARG DIGEST
LABEL org.opencontainers.image.title="${NAME}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.description="Predictions of ${NAME} ${VERSION}" \
      io.mlops.run="${RUN}" \
      io.mlops.bundle.sha256="${DIGEST}"
ENV PYTHONPATH=/srv/app:/srv/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MLOPS_SERVE_HOST=0.0.0.0 \
    MLOPS_SERVE_PORT=8080
COPY --from=packages /packages /srv/packages
COPY app /srv/app
COPY bundle /srv/bundle
# No shell, no user database: a number is enough, and Kubernetes can check that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/health' % os.environ['MLOPS_SERVE_PORT'], timeout=2)"]
ENTRYPOINT ["python", "-m", "mlops.serving.run"]
CMD ["/srv/bundle"]
