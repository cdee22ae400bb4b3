# The serving image of one bundle. `mlops image` writes the context and builds it:
#   app/               the server's own modules
#   bundle/            the model, its signature and the digests that are verified at the start
#   requirements.txt   the lock of the bundle's format
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS packages
WORKDIR /build
COPY requirements.txt .
# Wheels only, each with the digest of the lock; what is only needed to develop is left out, and what makes models for
# onnxruntime, which the server never imports.
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: --disable-pip-version-check \
        --root-user-action ignore --target /layer/srv/packages -r requirements.txt \
 && rm -rf /layer/srv/packages/bin \
 && find /layer -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} + \
 && find /layer -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.c' -o -name '*.cpp' -o -name '*.h' \
        -o -name '*.a' -o -name RECORD \) -delete \
 && rm -rf /layer/srv/packages/onnxruntime/transformers /layer/srv/packages/onnxruntime/quantization \
        /layer/srv/packages/onnxruntime/tools \
 && find /layer -exec touch --no-dereference --date=@946684800 {} +

FROM python:${PYTHON}-slim AS files
COPY app /layer/srv/app
COPY bundle /layer/srv/bundle
RUN find /layer -exec touch --no-dereference --date=@946684800 {} +

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
# Two layers, of which the first is the same for every version. Files and folders have one fixed time, so that a layer is the
# same, to its digest, whenever it is built.
COPY --from=packages /layer/ /
COPY --from=files /layer/ /
# No shell, no user database: a number is enough, and Kubernetes can check that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/health' % os.environ['MLOPS_SERVE_PORT'], timeout=2)"]
ENTRYPOINT ["python", "-m", "mlops.serving.run"]
CMD ["/srv/bundle"]
