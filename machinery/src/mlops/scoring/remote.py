"""Files in object storage (s3://, gs://, abfss://), with what a batch needs of a path; what fails for a while is repeated.

Credentials and endpoint come from the usual variables: AWS_*, with AWS_ENDPOINT_URL or MLflow's MLFLOW_S3_ENDPOINT_URL.
A file is there when it is whole: storage shows none before its last byte has come.
"""

from __future__ import annotations

import fnmatch
import functools
import glob
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from mlops import console, files, tracking_uri
from mlops.errors import DataError, StoreUnreachable, UserError, first_line

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

SCHEMES = ("s3", "gs", "abfss")
BLOCK = 2**25  # bytes that are read by one request
WAITS = (1, 2, 4, 8, 16, 32)  # seconds before a request is repeated; AWS_MAX_ATTEMPTS may ask for fewer
# What passes, by what the clients of the storages say of it.
PASSING = re.compile(
    r"SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT|NETWORK_CONNECTION|HTTP status (5\d\d|429)"
    r"|curlCode|[Tt]imed? ?out|UNAVAILABLE|connection"
)
FORBIDDEN = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|SIGNATURE|HTTP status 40[13]|UNAUTHENTICATED|credential"
)
MISSING = re.compile(r"NO_SUCH_BUCKET|Bucket not found")
Result = TypeVar("Result")


def is_remote(place: str) -> bool:
    """Whether a path names object storage."""
    return place.partition("://")[0] in SCHEMES and "://" in place


def place_of(place: str) -> Path | RemotePath:
    """A path on this machine, or in object storage. Raises UserError for another address."""
    if is_remote(place):
        return RemotePath(place.rstrip("/"))
    if re.match(r"\w[\w+.-]+://", place):
        raise UserError(f"{place}: no storage that is read here; use a path, or {'://, '.join(SCHEMES)}://")
    return Path(place)


@dataclass(frozen=True, order=True)
class RemotePath:
    """An address in object storage. A file that comes from a listing has `size` and `modified`, in whole seconds."""

    address: str
    size: int = -1
    modified: int = 0

    def __str__(self) -> str:
        """The whole address."""
        return self.address

    def __truediv__(self, name: str) -> RemotePath:
        """An address below this one."""
        return RemotePath(f"{self.address}/{name}")

    @property
    def name(self) -> str:
        """Its last part."""
        return self.address.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Its last part, without its ending."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """Its ending, with the dot."""
        return Path(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The address above it."""
        return RemotePath(self.address.rpartition("/")[0])

    def is_dir(self) -> bool:
        """Whether files lie below it."""
        return bool(self._listed(recursive=False))

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.info() is not None

    def info(self) -> RemotePath | None:
        """The file with size and time; None where there is none."""
        from pyarrow.fs import FileType

        found = self._ask(lambda storage, path: storage.get_file_info(path))
        return self._known(found) if found.type == FileType.File else None

    def iterdir(self) -> Iterator[RemotePath]:
        """What lies directly below it."""
        return (self / info.base_name for info in self._listed(recursive=False))

    def files(self) -> list[RemotePath]:
        """All files below it, sorted, with size and time."""
        from pyarrow.fs import FileType

        _, base = _storage(*self._root())
        start = len(self._path(base)) + 1
        found = [info for info in self._listed(recursive=True) if info.type == FileType.File]
        return sorted(RemotePath(f"{self.address}/{info.path[start:]}", info.size, info.mtime_ns // 10**9) for info in found)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if self.is_file() or not missing_ok:
            self._ask(lambda storage, path: storage.delete_file(path))

    def read(self, action: Callable[[Any], Result]) -> Result:
        """What an action makes of the opened file, of which only what it reads is brought. Raises what the action raises."""
        return self._ask(lambda storage, path: action(storage.open_input_file(path)), reading=True)

    def fetch(self, to: Path) -> str:
        """Copy the file to this machine; returns its digest. Raises DataError where it changes meanwhile."""
        digest = hashlib.sha256()
        before = self.info()
        if before is not None and self.size >= 0 and before != self:
            raise DataError(f"{self}: has changed since it was listed; start again")
        if before is None:
            raise DataError(f"{self}: is no longer there; restore it, or start again")
        with to.open("wb") as stream:
            for start in range(0, before.size, BLOCK):
                length = min(BLOCK, before.size - start)
                block = self.read(lambda file, start=start, length=length: file.read_at(length, start))  # type: ignore[misc]
                digest.update(block)
                with files.writing(to):
                    stream.write(block)
            if stream.tell() != before.size or self.info() != before:
                raise DataError(f"{self}: has changed while it was read; start again")
        return digest.hexdigest()

    def put(self, file: Path) -> None:
        """Put a file of this machine there, in one step."""
        content = file.read_bytes()

        def write(storage: FileSystem, path: str) -> None:
            with storage.open_output_stream(path) as stream:
                stream.write(content)

        self._ask(write)

    def _known(self, info: FileInfo) -> RemotePath:
        return RemotePath(self.address, info.size, info.mtime_ns // 10**9)

    def _listed(self, recursive: bool) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        try:  # allow_not_found would take a bucket that is not there for an empty one
            return list(self._ask(lambda storage, path: storage.get_file_info(FileSelector(path, recursive=recursive))))
        except FileNotFoundError:
            return []

    def _root(self) -> tuple[str, str]:
        parts = urlsplit(self.address)
        return parts.scheme, parts.netloc

    def _path(self, base: str) -> str:
        scheme, authority = self._root()
        return base + self.address.removeprefix(f"{scheme}://{authority}")

    def _ask(self, action: Callable[[FileSystem, str], Result], reading: bool = False) -> Result:
        """The result of a request, which is repeated where it fails for a reason that passes.

        Raises StoreUnreachable where it fails to the end, UserError for other reasons, FileNotFoundError; while reading,
        also the OSError of a reader that does not understand what it reads.
        """
        waits = WAITS[: max(0, int(os.environ.get("AWS_MAX_ATTEMPTS") or len(WAITS) + 1) - 1)]
        for wait in (*waits, None):
            try:
                storage, base = _storage(*self._root())
                return action(storage, self._path(base))
            except FileNotFoundError:
                raise
            except OSError as error:
                reason = _reason(error)
                if reading and not any(sign.search(str(error)) for sign in (PASSING, FORBIDDEN, MISSING)):
                    raise
                if not PASSING.search(str(error)) or FORBIDDEN.search(str(error)):
                    raise UserError(f"{self}: {reason}; {_hint(str(error))}") from None
                if wait is None:
                    raise StoreUnreachable(f"{self}: does not answer ({reason}); look at address and network") from None
                console.note(f"{self}: {reason}; trying again in {wait} s")
                time.sleep(wait)
        raise AssertionError


def files_of(pattern: str) -> list[RemotePath]:
    """The files of an address, a folder or a pattern, sorted; none where there is nothing."""
    path = RemotePath(pattern.rstrip("/"))
    if not glob.has_magic(pattern) or path.is_file():
        info = path.info() if not pattern.endswith("/") else None
        return [info] if info else [file for file in path.files() if not is_hidden(file.address[len(path.address) + 1 :])]
    parts = path.address.split("/")
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    root = RemotePath("/".join(parts[:fixed]))
    return [file for file in root.files() if _fits(file.address.split("/")[fixed:], parts[fixed:])]


def is_hidden(path: str) -> bool:
    """Whether a path below an input folder is passed over: hidden, what another tool marks with `_`, or our own schema."""
    return any(part.startswith((".", "_")) for part in path.split("/")) or path.endswith(".schema.json")


def _fits(parts: list[str], pattern: list[str]) -> bool:
    """Whether a path fits a pattern, part by part, as `glob` has it: `**` is any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[start:], pattern[1:]) for start in range(len(parts)))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def move(file: Path, to: Path | RemotePath) -> None:
    """Let a file take its place on this machine or in storage, in one step."""
    if isinstance(to, RemotePath):
        to.put(file)
    else:
        file.replace(to)


# What a batch reads from, or writes to: of this machine, or in storage.
Place = Path | RemotePath


@functools.cache
def _storage(scheme: str, authority: str) -> tuple[FileSystem, str]:
    """The storage that answers for an address, and what its paths begin with."""
    from pyarrow import fs

    if scheme != "s3":
        storage, base = fs.FileSystem.from_uri(f"{scheme}://{authority}")
        return storage, base.rstrip("/")
    tracking_uri.drop_empty_settings()
    settings = os.environ
    endpoint = urlsplit(
        settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL") or settings.get("MLFLOW_S3_ENDPOINT_URL") or ""
    )
    options: dict[str, Any] = {
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=1),
        "connect_timeout": 10,
        "request_timeout": 60,
    }
    if endpoint.netloc:
        options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    if bundle := settings.get("AWS_CA_BUNDLE"):
        options["tls_ca_file_path"] = bundle
    region = settings.get("AWS_REGION") or settings.get("AWS_DEFAULT_REGION")
    return fs.S3FileSystem(region=region or ("us-east-1" if endpoint.netloc else _region(authority)), **options), authority


def _region(bucket: str) -> str | None:
    from pyarrow import fs

    try:
        return str(fs.resolve_s3_region(bucket))
    except OSError:
        return None  # the configuration of AWS may name one


def _reason(error: OSError) -> str:
    """What the storage says, in one line, without the number of the request."""
    text = re.sub(r" ?\(Request ID: [^)]*\)", "", first_line(error))
    message = re.search(r"AWS Error (.+)", text)
    return (message[1] if message else text).rstrip(".")[:200]


def _hint(text: str) -> str:
    if FORBIDDEN.search(text):
        return "correct the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or ask for the permission"
    if MISSING.search(text):
        return "correct the bucket, or AWS_ENDPOINT_URL"
    return "correct the address or the credentials"
