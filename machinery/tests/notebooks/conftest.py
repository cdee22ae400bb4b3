"""Notebooks made for a test, a git repository, and a real Jupyter server with the save hook."""

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests
import websocket
from samples import eventually, write


@pytest.fixture
def marked(tmp_path):
    """A folder whose notebooks are exported."""
    (tmp_path / ".ipynb_saveprocess").touch()
    return tmp_path


class Repository:
    """A git repository with a project in it."""

    def __init__(self, root):
        self.root = root
        write(root / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments, check=True):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        command = ["git", "-C", str(self.root), *identity, *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True)

    def commit(self, message="change"):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


class Server:
    """A Jupyter server in a process of its own, spoken to over HTTP."""

    def __init__(self, root, process, port, runtime):
        self.root, self.process, self.runtime = root, process, runtime
        self.url = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": "token test"}

    def save(self, path, value):
        body = {"type": "notebook", "format": "json", "content": value}
        return requests.put(f"{self.url}/api/contents/{path}", json=body, headers=self.headers, timeout=60)

    def run(self, source):
        """Start a kernel and have it run some lines; return its id without waiting for an answer."""
        started = requests.post(f"{self.url}/api/kernels", json={"name": "python3"}, headers=self.headers, timeout=60)
        kernel = started.json()["id"]
        address = f"{self.url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        header = {"msg_id": "m1", "msg_type": "execute_request", "session": "s1", "username": "", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        with closing(websocket.create_connection(address, timeout=60, header=self.headers)) as channel:
            channel.send(json.dumps(message))
            reply = ""
            while '"execute_input"' not in reply:  # the kernel has taken the lines
                reply = str(channel.recv())
        return kernel

    def kernel(self, kernel):
        return requests.get(f"{self.url}/api/kernels/{kernel}", headers=self.headers, timeout=60).json()

    def stop(self, kernel):
        requests.delete(f"{self.url}/api/kernels/{kernel}", headers=self.headers, timeout=60)

    def status(self):
        return requests.get(f"{self.url}/api/status", headers=self.headers, timeout=60)

    def log(self):
        path = self.runtime / "mlops-exports.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server, with the hook enabled by the file that `mlops notebooks setup` writes."""
    base = tmp_path_factory.mktemp("jupyter")
    enabled = {"ServerApp": {"jpserver_extensions": {"mlops.notebooks.savehook": True}}}
    write(base / "config" / "jupyter_server_config.d" / "mlops-notebooks.json", enabled)
    (base / "root").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_PATH": str(base / "config"),
        "JUPYTER_CONFIG_DIR": str(base / "user"),
        "JUPYTER_DATA_DIR": str(base / "data"),
        "JUPYTER_RUNTIME_DIR": str(base / "runtime"),
        # An exporter that is set to end the process: what a broken plug-in of nbconvert may do.
        "PYTHONPATH": str(Path(__file__).parent / "broken"),
    }
    options = [f"--ServerApp.root_dir={base / 'root'}", f"--port={port}", "--no-browser", "--IdentityProvider.token=test"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    with (base / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *options], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    server = Server(base / "root", process, port, base / "runtime")
    try:
        eventually(lambda: server.status().ok, seconds=60)
        yield server
    finally:
        process.terminate()
        process.wait(20)
