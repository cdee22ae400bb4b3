"""The configuration of what happens to a model once it is made: serving, environments, monitoring.

Apart from `mlops.config`, whose text is part of every key: nothing here has a say in what a model becomes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlops.config.base import Frozen


class Share(Frozen):
    """The percentage of the requests that a new service answers first, and for how many seconds; 0 leaves this step out."""

    percent: int = Field(default=0, ge=0, le=99)
    seconds: float = Field(default=30, gt=0)


class Shadow(Frozen):
    """How many logged requests are asked again, of the old service and the new, and what share of the answers may differ."""

    requests: int = Field(default=0, ge=0, le=10_000)
    differ: float = Field(default=1.0, ge=0, le=1)


class Compose(Frozen):
    """A host with Docker Engine, and how a new service proves itself there; `mlops docs configuration` explains each key."""

    host: str = Field(default="", pattern=r"^(|(ssh|tcp|unix)://.+)$")
    ports: dict[str, Annotated[int, Field(ge=1, le=65535)]] = {}
    bind: str = Field(default="127.0.0.1", pattern=r"^[0-9A-Fa-f.:\[\]]+$")
    memory: str = Field(default="512m", pattern=r"^[1-9][0-9]*[mg]$")
    settings: dict[str, bool | int | float | str] = {}
    prediction_log: str = Field(default="", pattern=r"^[\w./-]*$")
    share: Share = Share()
    shadow: Shadow = Shadow()
    watch: float = Field(default=30, ge=0)
    guard: float = Field(default=300, ge=0, le=86_400)
    errors: float = Field(default=0.01, ge=0, lt=1)
    keep: int = Field(default=1, ge=0, le=20)
    wait: float = Field(default=300, ge=0)


class Kubernetes(Frozen):
    """A cluster as kubectl knows it, and what is applied to it.

    context: of the kubeconfig, "" for the current one. overlay: a kustomize folder, seen from the project's root; by default
    deploy/kubernetes/overlays/<environment>. timeout: seconds for each rollout.
    """

    namespace: str = Field(default="models", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    context: str = ""
    overlay: str = ""
    timeout: int = Field(default=300, ge=1)


class Cloud(Frozen):
    """A service of a cloud, by MLflow's deployment client.

    uri: the client's, such as `sagemaker:/eu-west-1`. endpoint: its name there, `{use_case}` is replaced. options: what the
    client's `config` takes, as its documentation names it. require: environment variables without which it cannot work.
    """

    uri: str = ""
    endpoint: str = "{use_case}"
    options: dict[str, Any] = {}
    require: tuple[str, ...] = ()


class Environment(Frozen):
    """Where the services of an environment run; `none` verifies an image and deploys nothing."""

    target: Literal["none", "compose", "kubernetes", "sagemaker", "azureml", "databricks"] = "none"
    compose: Compose = Compose()
    kubernetes: Kubernetes = Kubernetes()
    cloud: Cloud = Cloud()


class Batch(Frozen):
    """What `mlops score` scores where no INPUT is named, and the workflow `score` by the clock.

    input: a file, folder, pattern or address. output: a folder or address. ref: alias or number, "" for the champion.
    schedule: when the workflow scores it, at 04:53 UTC; `weekly` is each Monday. Both addresses are needed for it.
    """

    input: str = ""
    output: str = ""
    ref: str = ""
    on_error: Literal["fail", "quarantine"] = "fail"
    part_rows: int = Field(default=0, ge=0)
    schedule: Literal["daily", "weekly", "never"] = "daily"

    @model_validator(mode="after")
    def _complete(self) -> Batch:
        if bool(self.input) != bool(self.output):
            raise ValueError("input and output go together: what is scored, and the folder or address for its parts")
        return self


class Serving(Frozen):
    """What a server of the use case may do: unpickle its model, and which columns a prediction log leaves out.

    `image` says whether a release builds an image of it. `input`: what requests hold, the model's features, or `raw` rows
    without the target, of which the server makes them by the use case's own code. `trust` names types, modules and packages
    that a model may hold beside scikit-learn's, such as `lightgbm` or `use_cases.iris`. `require_signature` is the file of
    the public key that must have signed a version for it to be read. `tracing`: where the server of an image sends traces, an
    address of OTLP over HTTP; empty: nowhere. `batch`: rows that are scored in files.
    """

    image: bool = True
    input: Literal["features", "raw"] = "features"
    allow_pickle: bool = False
    trust: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...] = ()
    personal: tuple[str, ...] = ()
    require_signature: str = ""
    tracing: Annotated[str, Field(pattern=r"^(https?://[^\s\"'$\\]+)?$")] = ""
    batch: Batch = Batch()


class Limits(Frozen):
    """Where a statistic begins to warn, and where it counts as drift; both in the statistic's own unit."""

    warn: float = Field(ge=0, allow_inf_nan=False)
    drift: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> Limits:
        if self.warn > self.drift:
            raise ValueError("warn is above drift")
        return self


class Thresholds(Frozen):
    """The limits of each statistic; see `mlops docs monitoring` for what they measure and why these are the defaults.

    `alpha` is the chance of one false alarm that chance alone may cause in a whole check of all features.
    """

    psi: Limits = Limits(warn=0.1, drift=0.25)
    ks: Limits = Limits(warn=0.125, drift=0.2)
    js: Limits = Limits(warn=0.13, drift=0.21)
    missing: Limits = Limits(warn=0.05, drift=0.1)
    unseen: Limits = Limits(warn=0.02, drift=0.05)
    alpha: float = Field(default=0.01, gt=0, lt=1)


class FeatureMonitor(Frozen):
    """What one feature has of its own: limits that take the place of the common ones, or no watch at all."""

    ignore: bool = False
    psi: Limits | None = None
    ks: Limits | None = None
    js: Limits | None = None
    missing: Limits | None = None
    unseen: Limits | None = None


class Monitor(Frozen):
    """The watch on what a served model is asked and answers: where its prediction log lies, and what counts as drift.

    labels: a file or folder of late outcomes (CSV, Parquet); empty takes the use case's raw data, once they have arrived.
    quality: metric → limit in service, where it differs from the gate's.
    retrain: off (a report only), issue, or auto (an issue, and the labelled rows proposed as new raw data).
    """

    log_uri: str = ""
    days: float = Field(default=7, gt=0)
    min_rows: int = Field(default=100, ge=10)
    thresholds: Thresholds = Thresholds()
    features: dict[str, FeatureMonitor] = {}
    labels: str = ""
    min_labels: int = Field(default=30, ge=5)
    quality: dict[str, float] = {}
    retrain: Literal["off", "issue", "auto"] = "issue"
    webhook: bool = False

    @model_validator(mode="before")
    @classmethod
    def _off_is_a_word(cls, values: Any) -> Any:
        # YAML 1.1 reads a bare `off` as false.
        if isinstance(values, dict) and values.get("retrain") is False:
            return {**values, "retrain": "off"}
        return values
