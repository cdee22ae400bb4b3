"""The workbench without Docker as a person uses it: a notebook in JupyterLab, rows, objects, a restart, who is kept out."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from checkouts import lay_out

from mlops.workbench import postgres, settings

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

LOCK = Path(__file__).parents[2] / "src" / "mlops" / "workbench" / "requirements.txt"
CELLS = (
    "from pathlib import Path\nimport mlflow",
    "mlflow.set_experiment('by-notebook')\n"
    "with mlflow.start_run(run_name='first') as run:\n"
    "    mlflow.log_metric('score', 0.5)\n"
    "    Path('note.txt').write_text('kept')\n"
    "    mlflow.log_artifact('note.txt')",
    "import os, boto3\nprint([o['Key'] for o in boto3.client('s3').list_objects_v2(Bucket='mlflow')['Contents']])",
)
# What pandas and pyarrow write they read, and what boto3 has put there as well.
TABLES = (
    "import boto3, pandas as pd\nframe = pd.DataFrame({'x': [1, 2]})\nframe.to_parquet('s3://mlflow/tables/one.parquet')\n"
    "boto3.client('s3').put_object(Bucket='mlflow', Key='tables/two.parquet', Body=frame.to_parquet())\n"
    "print([int(pd.read_parquet(f's3://mlflow/tables/{name}.parquet')['x'].sum()) for name in ('one', 'two')])"
)


class Outside(NamedTuple):
    """An address of this machine beyond loopback, and the words before a command that comes from another host."""

    address: str
    words: tuple[str, ...]


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """A network namespace that is joined to this machine by a cable of its own."""
    name = f"wb{secrets.token_hex(3)}"
    subnet = f"10.231.{secrets.randbelow(250)}"
    steps = (
        f"ip netns add {name}",
        f"ip link add {name} type veth peer name inside netns {name}",
        f"ip addr add {subnet}.1/24 dev {name}",
        f"ip link set {name} up",
        f"ip -n {name} addr add {subnet}.2/24 dev inside",
        f"ip -n {name} link set inside up",
    )
    try:
        for step in steps:
            if subprocess.run(step.split(), capture_output=True).returncode:
                pytest.skip(f"no network namespace can be had here: {step}")
        yield Outside(f"{subnet}.1", ("ip", "netns", "exec", name))
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nothing uses."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Bench:
    """A workbench of a project of its own."""

    def __init__(self, root: Path, bind: str) -> None:
        self.root, self.bind = root, bind
        self.ports = dict(zip(("jupyter", "mlflow", "postgres", "s3"), free_ports(4), strict=True))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MLOPS_", "AWS_"))}
        self.environment = {**kept, "MLOPS_WORKBENCH_PORTS": ",".join(f"{name}={port}" for name, port in self.ports.items())}

    def __call__(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "mlops", "-C", str(self.root), "workbench", *arguments, "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def secrets(self) -> dict[str, str]:
        """What the first start generated."""
        return json.loads((self.root / ".mlops" / "workbench" / "secrets.json").read_text())

    def address(self, part: str) -> str:
        """Where a part answers."""
        return f"http://{self.bind if part in ('jupyter', 'mlflow') else '127.0.0.1'}:{self.ports[part]}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables by which the workbench finds the packages of its own lock, which `make workbench-local` installs."""
    folder = tmp_path_factory.mktemp("packages")
    install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", sys.executable]
    subprocess.run([*install, "--target", str(folder), "--no-deps", "--require-hashes", "-r", str(LOCK)], check=True)
    return {"PYTHONPATH": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, outside: Outside, packages: dict[str, str]) -> Iterator[Bench]:
    """A running workbench that listens beyond loopback."""
    root = tmp_path_factory.mktemp("bench") / "project"
    root.mkdir()
    lay_out(root)
    bench = Bench(root, outside.address)
    bench.environment |= packages
    state = bench("start", "--bind", outside.address)
    try:
        assert state["ready"] and [part["part"] for part in state["parts"]] == ["postgres", "s3", "mlflow", "jupyter"]
        yield bench
    finally:
        bench("stop")
        shutil.rmtree(postgres._place(settings.read(root))[0].parent, ignore_errors=True)


def run_cells(bench: Bench, name: str, cells: tuple[str, ...]) -> list[str]:
    """Save a notebook through JupyterLab's server and run it there on a real kernel; what its cells printed."""
    websocket = pytest.importorskip("websocket")
    headers = {"Authorization": f"token {bench.secrets['jupyter_token']}"}
    address = bench.address("jupyter")
    code = [{"cell_type": "code", "id": f"c{i}", "source": s, "metadata": {}, "outputs": [], "execution_count": None}
            for i, s in enumerate(cells)]  # fmt: skip
    notebook = {"cells": code, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}}
    content = {"type": "notebook", "format": "json", "content": {**notebook, "nbformat": 4, "nbformat_minor": 5}}
    requests.put(f"{address}/api/contents/{name}", json=content, headers=headers, timeout=30).raise_for_status()
    session = {"path": name, "type": "notebook", "name": name, "kernel": {"name": "python3"}}
    reply = requests.post(f"{address}/api/sessions", json=session, headers=headers, timeout=60)
    reply.raise_for_status()
    kernel = reply.json()["kernel"]["id"]
    channel = websocket.create_connection(
        f"{address.replace('http', 'ws')}/api/kernels/{kernel}/channels", header=headers, timeout=120
    )
    try:
        return [_execute(channel, cell) for cell in cells]
    finally:
        channel.close()
        requests.delete(f"{address}/api/kernels/{kernel}", headers=headers, timeout=30)


def _execute(channel: Any, code: str) -> str:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "s", "username": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    channel.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}))
    printed = ""
    while True:
        message = json.loads(channel.recv())
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed += message["content"]["text"]
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return printed


def rows(bench: Bench) -> list[tuple[str, str]]:
    """Runs as PostgreSQL has them: the name and where the artifacts are."""
    import psycopg

    login = {"host": "127.0.0.1", "port": bench.ports["postgres"], "user": "mlflow", "dbname": "mlflow"}
    with psycopg.connect(**login, password=bench.secrets["postgres_password"]) as connection:
        return connection.execute("SELECT name, artifact_uri FROM runs ORDER BY start_time").fetchall()


def objects(bench: Bench) -> list[str]:
    """The keys of the objects in the bucket."""
    import boto3

    login = {"aws_access_key_id": bench.secrets["s3_access_key"], "aws_secret_access_key": bench.secrets["s3_secret_key"]}
    client = boto3.client("s3", endpoint_url=bench.address("s3"), region_name="us-east-1", **login)
    return [item["Key"] for item in client.list_objects_v2(Bucket="mlflow").get("Contents", [])]


def test_what_a_notebook_logs_is_in_postgresql_and_in_the_bucket_and_survives_a_restart(bench: Bench):
    *_, listed = run_cells(bench, "by_hand.ipynb", CELLS)
    assert "note.txt" in listed
    (name, place), keys = rows(bench)[0], objects(bench)
    assert (name, [key for key in keys if key.endswith("/artifacts/note.txt")]) == ("first", keys)
    assert (
        place.startswith("mlflow-artifacts:") and (bench.root / ".mlops/workbench/s3/mlflow" / keys[0]).read_text() == "kept"
    )

    assert bench("stop")["ended"] == ["jupyter", "mlflow", "postgres", "s3"]
    assert not bench("status")["running"] and listeners(bench) == []
    before = bench.secrets
    assert bench("start", "--bind", bench.bind)["ready"] and bench.secrets == before
    assert (rows(bench), objects(bench)) == ([(name, place)], keys)
    again = "import mlflow\nr = mlflow.search_runs(search_all_experiments=True)\n"
    again += "print(mlflow.artifacts.load_text(r.artifact_uri[0] + '/note.txt'), r['metrics.score'][0])"
    assert run_cells(bench, "again.ipynb", (again, TABLES)) == ["kept 0.5\n", "[3, 3]\n"]


def listeners(bench: Bench) -> list[int]:
    """The workbench's ports that something listens on."""
    import psutil

    return [
        c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port in bench.ports.values()
    ]


PATHS = {
    "mlflow": (
        "/",
        "/api/2.0/mlflow/experiments/search?max_results=1",
        "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0",
    ),
    "jupyter": ("/api/contents", "/api/kernels", "/files/config/project.yaml", "/api/terminals"),
}


@pytest.mark.parametrize("part", PATHS)
def test_anonymous_access_from_another_host_is_refused(bench: Bench, outside: Outside, part: str):
    ask = ("curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--max-time", "20")
    login = {
        "mlflow": ("-u", f"mlflow:{bench.secrets['mlflow_password']}"),
        "jupyter": ("-H", f"Authorization: token {bench.secrets['jupyter_token']}"),
    }[part]
    refused = {"401", "403", "302"}  # Jupyter sends a browser to its page for the token
    for path in PATHS[part]:
        anonymous, wrong, known = (
            subprocess.run([*outside.words, *ask, *who, bench.address(part) + path], capture_output=True, text=True).stdout
            for who in ((), ("-u", "mlflow:guess", "-H", "X: y"), login)
        )
        assert {anonymous, wrong} <= refused, (path, anonymous, wrong)
        assert known == "200", (path, known)


def test_database_and_bucket_cannot_be_reached_from_another_host_at_all(bench: Bench, outside: Outside):
    for part in ("postgres", "s3"):
        ask = ("curl", "-s", "--max-time", "5", f"http://{outside.address}:{bench.ports[part]}")
        assert subprocess.run([*outside.words, *ask], capture_output=True).returncode == 7, "curl: failed to connect"


def test_a_part_that_is_killed_is_started_again_and_what_a_killed_supervisor_left_is_ended(bench: Bench):
    import psutil

    state = bench("status")
    s3 = next(part for part in state["parts"] if part["part"] == "s3")
    psutil.Process(s3["pid"]).kill()
    for _ in range(100):
        part = next(part for part in bench("status")["parts"] if part["part"] == "s3")
        if part["restarts"] == 1 and part["state"] == "running":
            break
    assert part["restarts"] == 1 and objects(bench) is not None

    psutil.Process(state["pid"]).kill()
    left = bench("status")
    assert not left["running"] and {part["state"] for part in left["parts"]} == {"running"}
    assert set(bench("stop")["ended"]) == set(bench.ports)
    assert listeners(bench) == [] and bench("status")["parts"] == []
    assert bench("start", "--bind", bench.bind)["ready"]
