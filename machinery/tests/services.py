"""PostgreSQL and an S3 server, for the tests with the mark `services`: fixtures that a conftest.py imports."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def free_port() -> int:
    """A port of this machine that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_user(*command: str) -> list[str]:
    """A command as a user who is not root, under whom PostgreSQL does not start."""
    return ["runuser", "-u", "nobody", "--", *command] if os.getuid() == 0 else list(command)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of an empty PostgreSQL database."""
    program = shutil.which("initdb") or (str(PROGRAMS[-1]) if PROGRAMS else None)
    if program is None:
        pytest.skip("PostgreSQL's server programs are missing: apt install postgresql")
    if os.getuid() == 0 and not shutil.which("runuser"):
        pytest.skip("root cannot start PostgreSQL without runuser")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    # The wrapper that some systems put on the path takes another data folder; the program itself is wanted.
    programs = PROGRAMS[-1].parent if PROGRAMS else Path(program).parent
    port = free_port()
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    start = ["initdb", "-D", f"{folder}/data", "-U", "mlops", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    run = {"cwd": folder, "check": True, "capture_output": True, "timeout": 120}
    control = as_user(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log")
    subprocess.run(as_user(str(programs / start[0]), *start[1:]), **run)
    subprocess.run([*control, "-o", options, "start"], **{**run, "capture_output": False})
    try:
        yield f"postgresql://mlops@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The settings of an S3 server with a bucket `models`."""
    pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settings = {
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        wait_for(settings["MLFLOW_S3_ENDPOINT_URL"], process)
        client = boto3.client(
            "s3",
            endpoint_url=settings["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="models")
        yield settings
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address: str, process: subprocess.Popen) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{address} did not start")
