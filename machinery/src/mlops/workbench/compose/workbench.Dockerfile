# Two images of the workbench, from one base: PostgreSQL as Debian has it, and what the project's lock names.
# The base is an index for amd64 and arm64 (Python 3.12.14); rclone and all packages of the lock have wheels for both.
ARG BASE=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${BASE} AS postgres
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 \
 && install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
COPY postgres.sh /usr/local/bin/postgres.sh
ENV PGDATA=/var/lib/postgresql/data
USER postgres
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/usr/local/bin/postgres.sh"]

FROM ${BASE} AS tools
# make and git are what the project's commands call.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git make libgomp1 \
 && rm -rf /var/lib/apt/lists/*
COPY light.txt dev.txt workbench.txt /opt/locks/
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore --require-hashes -r /opt/locks/light.txt \
 && uv pip install --system --no-cache --require-hashes -r /opt/locks/dev.txt \
 && uv pip install --system --no-cache --no-deps --require-hashes -r /opt/locks/workbench.txt
# The machinery's wheel where the project has one; a folder of it is read where the project is mounted.
COPY machinery/ /opt/machinery/
COPY mlops-notebooks.json /usr/local/etc/jupyter/jupyter_server_config.d/
RUN for wheel in /opt/machinery/*.whl; do [ ! -e "$wheel" ] || uv pip install --system --no-cache --no-deps "$wheel"; done \
 && python -c "import site, pathlib; pathlib.Path(site.getsitepackages()[0], 'project.pth').write_text('/project/src\n/project/machinery/src\n')" \
 && printf '#!/bin/sh\nexec python -m mlops "$@"\n' > /usr/local/bin/mlops && chmod 755 /usr/local/bin/mlops \
 && install -d -m 1777 /data /home/work \
 && git config --system --add safe.directory /project
ENV HOME=/home/work USER=work PYTHONDONTWRITEBYTECODE=1 MLOPS_PROJECT=/project
WORKDIR /project
