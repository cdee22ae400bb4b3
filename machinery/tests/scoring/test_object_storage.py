"""A batch whose files lie in S3: the same answers as in a folder, none twice and none lost while the storage fails."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pandas as pd
import pytest
from command import mlops
from services import s3  # noqa: F401  (a fixture)
from test_batch import flowers, split

from mlops.config import Project
from mlops.scoring import remote

pytestmark = pytest.mark.services


@pytest.fixture
def bucket(s3: dict[str, str], registered: Project) -> Iterator[Any]:  # noqa: F811
    """An empty bucket `models`; the settings stand in the environment, the endpoint under its usual name."""
    settings = dict(s3)
    settings["AWS_ENDPOINT_URL"] = settings.pop("MLFLOW_S3_ENDPOINT_URL")
    os.environ |= settings
    remote._storage.cache_clear()
    client = boto3.resource("s3").Bucket("models")
    client.objects.all().delete()
    yield client
    remote._storage.cache_clear()


def upload(bucket: Any, folder: Path, prefix: str) -> None:
    for file in sorted(folder.iterdir()):
        bucket.upload_file(str(file), f"{prefix}/{file.name}")


def keys(bucket: Any, prefix: str = "") -> dict[str, bytes]:
    """The objects below a prefix, but the marks of folders."""
    found = {item.key.removeprefix(prefix): item.get()["Body"].read() for item in bucket.objects.filter(Prefix=prefix)}
    return {key: content for key, content in found.items() if not key.endswith("/")}


def predictions(parts: dict[str, bytes], folder: Path) -> pd.DataFrame:
    folder.mkdir()
    for key, content in parts.items():
        if key.startswith("/predictions/"):
            (folder / Path(key).name).write_bytes(content)
    return pd.read_parquet(folder).sort_values("flower", ignore_index=True)


def test_files_and_parts_in_storage_give_the_answers_of_a_folder(bucket: Any, tmp_path: Path) -> None:
    source = split(tmp_path / "many", flowers(2_000))
    upload(bucket, source, "in")
    bucket.put_object(Key="in/notes.txt", Body=b"none of them")
    assert mlops("score", "iris", source, tmp_path / "scored", "--part-rows", 200).code == 0
    expected = pd.read_parquet(tmp_path / "scored" / "predictions").sort_values("flower", ignore_index=True)
    done = mlops("score", "iris", "s3://models/in", "s3://models/out", "--part-rows", 200, "--json")
    assert done.code == 0, done.err
    there = keys(bucket, "out")
    pd.testing.assert_frame_equal(predictions(there, tmp_path / "fetched"), expected)
    assert [done.value[key] for key in ("rows", "predictions", "rejects")] == [2_000, 2_000, 0]
    digests = subprocess.run(["sha256sum", *source.iterdir()], check=True, capture_output=True, text=True).stdout.split()[::2]
    assert {part["sha256"] for part in done.value["parts"]} == set(digests)
    assert done.value["parts"][0]["file"] == "s3://models/in/a.csv" and "/manifest.json" in there
    again = mlops("score", "iris", "s3://models/in", "s3://models/out", "--part-rows", 200)
    assert again.code == 0 and "12 of 12 parts were there already" in again.err
    assert keys(bucket, "out") == there
    done = mlops("score", "iris", "s3://models/in/[ab].*", tmp_path / "some", "--part-rows", 200, "--json")
    assert done.code == 0 and done.value["predictions"] == 1_000, done.err


def test_a_file_in_storage_that_has_changed_is_scored_anew_and_a_part_of_none_is_removed(bucket: Any, tmp_path: Path) -> None:
    upload(bucket, split(tmp_path / "many", flowers(800)), "in")
    assert mlops("score", "iris", "s3://models/in", "s3://models/out", "--on-error", "quarantine").code == 0
    flowers(100, seed=4).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text() + "wide,1,1,1,101\n")
    bucket.upload_file(str(tmp_path / "a.csv"), "in/a.csv")
    bucket.Object("in/d.csv.gz").delete()
    bucket.put_object(Key="in/c.arrow", Body=b"ARROW1 and no more")
    done = mlops("score", "iris", "s3://models/in", "s3://models/out", "--on-error", "quarantine", "--json")
    assert done.code == 0, done.err
    assert [done.value[key] for key in ("predictions", "rejects")] == [300, 1]
    assert list(done.value["refused"]) == ["s3://models/in/c.arrow"]
    assert sorted(keys(bucket, "out")) == [
        "/manifest.json",
        "/predictions/part-00000-00000.parquet",
        "/predictions/part-00001-00000.parquet",
        "/rejects/part-00000-00000.csv",
    ]


@pytest.mark.parametrize(
    ("source", "settings", "reason"),
    [
        ("s3://models/none/x.parquet", {}, "s3://models/none/x.parquet: no such file; correct the address"),
        ("s3://nobody-has-it/in", {}, "correct the bucket, or AWS_ENDPOINT_URL"),
        ("s3://models/in/b.parquet", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "does not answer"),
        ("ftp://models/in", {}, "no storage that is read here"),
        ("s3://models/in --engine spark", {}, "--engine spark works on folders"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(
    bucket: Any, tmp_path: Path, source: str, settings: dict[str, str], reason: str
) -> None:
    os.environ |= settings
    done = mlops("score", "iris", *source.split(), tmp_path / "out")
    assert done.code == (3 if settings else 2) and reason in done.error
    assert not (tmp_path / "out").exists()


def test_a_wrong_key_and_a_missing_bucket_of_the_output_are_named(bucket: Any, tmp_path: Path) -> None:
    flowers(50).to_parquet(tmp_path / "new.parquet")
    done = mlops("score", "iris", tmp_path / "new.parquet", "s3://nobody-has-it/out")
    assert done.code == 2 and done.error.startswith("s3://nobody-has-it/out") and "correct the bucket" in done.error
    forbidden = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist</Message></Error>"
    with proxy(lambda count: (403, forbidden)) as server:
        for source, output in ((tmp_path / "new.parquet", "s3://models/out"), ("s3://models/in", tmp_path / "out")):
            done = mlops("score", "iris", source, output)
            assert done.code == 2 and "correct the credentials (AWS_ACCESS_KEY_ID" in done.error
    assert len(server.statuses) == 2, "a wrong key was tried again"


class Proxy(BaseHTTPRequestHandler):
    """Hands a request on to S3, or answers it as `server.fault` of its number says: (status, body)."""

    protocol_version = "HTTP/1.1"
    server: Any

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self) -> None:
        body, wrong = self.body(), self.server.fault(len(self.server.statuses))
        self.server.statuses.append(wrong[0] if wrong else 0)
        if wrong:
            self.send_response(wrong[0])
            self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(wrong[1])))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else wrong[1])
            return
        sent = {name: value for name, value in self.headers.items() if name.lower() not in SENT_ANEW}
        connection = HTTPConnection(self.server.host)
        connection.request(self.command, self.path, body, sent | {"Content-Length": str(len(body))})
        reply = connection.getresponse()
        content = reply.read()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", reply.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def proxy(fault: Callable[[int], tuple[int, bytes] | None]) -> Iterator[Any]:
    """A server before S3, which answers with (status, body) where `fault` of the number of the request gives it."""
    direct = os.environ["AWS_ENDPOINT_URL"]
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.statuses, server.fault, server.host = [], fault, direct.partition("://")[2]
    Thread(target=server.serve_forever, daemon=True).start()
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
    remote._storage.cache_clear()
    try:
        yield server
    finally:
        os.environ["AWS_ENDPOINT_URL"] = direct
        remote._storage.cache_clear()
        server.shutdown()
        server.server_close()


SENT_ANEW = ("content-length", "transfer-encoding", "expect")
HOP = ("content-length", "transfer-encoding", "connection", "server", "date")
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def test_storage_that_answers_503_for_a_while_costs_time_and_no_row(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bucket, split(tmp_path / "many", flowers(2_000)), "in")
    assert mlops("score", "iris", "s3://models/in", "s3://models/quiet", "--part-rows", 200).code == 0
    monkeypatch.setattr(remote, "WAITS", (0.01, 0.02, 0.04, 0.08))
    with proxy(lambda count: (503, BUSY) if count % 20 in (5, 6, 7) else None) as server:
        done = mlops("score", "iris", "s3://models/in", "s3://models/out", "--part-rows", 200)
    assert done.code == 0, done.err
    assert server.statuses.count(503) > 20
    assert done.err.count("trying again in 0.0") == server.statuses.count(503) and "SLOW_DOWN" in done.err
    quiet, out = keys(bucket, "quiet"), keys(bucket, "out")
    assert out == quiet and len(out) == 13
    with proxy(lambda count: (503, BUSY) if count > 60 else None):
        done = mlops("score", "iris", "s3://models/in", "s3://models/late", "--part-rows", 200)
    assert done.code == 3 and "does not answer (SLOW_DOWN" in done.error
    there = keys(bucket, "late")
    assert there and "/manifest.json" not in there and there.items() < quiet.items()
    done = mlops("score", "iris", "s3://models/in", "s3://models/late", "--part-rows", 200)
    assert done.code == 0 and f"{len(there)} of 12 parts were there already" in done.err
    assert keys(bucket, "late") == quiet


def test_a_run_to_storage_that_is_killed_goes_on_where_it_was(bucket: Any, tmp_path: Path) -> None:
    upload(bucket, split(tmp_path / "many", flowers(2_000)), "in")
    assert mlops("score", "iris", "s3://models/in", "s3://models/quiet", "--part-rows", 100).code == 0
    command = [sys.executable, "-m", "mlops", "score", "iris", "s3://models/in", "s3://models/out", "--part-rows", "100"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while running.poll() is None and len(list(bucket.objects.filter(Prefix="out/predictions/part"))) < 5:
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    there = keys(bucket, "out")
    assert 5 <= len(there) < 20 and "/manifest.json" not in there
    done = mlops("score", "iris", "s3://models/in", "s3://models/out", "--part-rows", 100)
    assert done.code == 0, done.err
    assert keys(bucket, "out") == keys(bucket, "quiet")
