"""The secrets of a target in files that ssh and kubectl read, in a folder that one job has to itself.

Docker calls `ssh` by its name and passes no configuration on. So the folder has an `ssh` of its own, for the front of the
path: the machine's, with the job's key and hosts.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from mlops.errors import UserError

KEY, HOSTS, CONFIG, KUBECONFIG = "key", "known_hosts", "config", "kubeconfig"
PROGRAMS = "bin"
# Only hosts whose key is known are spoken to: a key that is taken on trust could be anybody's. The first value of an option
# counts, so the machine's own configuration adds to these and changes none.
RULES = """IdentityFile "{key}"
UserKnownHostsFile "{known_hosts}"
StrictHostKeyChecking yes
BatchMode yes
Include ~/.ssh/config
Include /etc/ssh/ssh_config
"""


def write(place: str | None, key: str, hosts: str, kubeconfig: str) -> Path:
    """Write what is not empty to a new folder in `place` and return it.

    Raises UserError for a key without the host keys that it may be shown to, or on a machine without ssh.
    """
    if key and not hosts.strip():
        raise UserError("MLOPS_DEPLOY_KNOWN_HOSTS is empty: set the variable to what `ssh-keyscan HOST` prints")
    program = shutil.which("ssh")
    if key and not program:
        raise UserError("ssh is not installed: install OpenSSH's client on the runner that reaches the target")
    folder = Path(tempfile.mkdtemp(prefix="access-", dir=place)).absolute()
    if key:
        shown = {name: str(folder / name).replace("%", "%%") for name in (KEY, HOSTS)}
        own = f'#!/bin/sh\nexec {shlex.quote(str(program))} -F {shlex.quote(str(folder / CONFIG))} "$@"\n'
        _private(folder / KEY, key)
        _private(folder / HOSTS, hosts)
        _private(folder / CONFIG, RULES.format(**shown))
        _private(folder / PROGRAMS / "ssh", own, mode=0o700)
    if kubeconfig:
        _private(folder / KUBECONFIG, kubeconfig)
    return folder


def _private(file: Path, text: str, mode: int = 0o600) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.touch(mode=mode)
    file.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
