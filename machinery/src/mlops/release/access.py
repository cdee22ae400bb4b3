"""The secrets of a target in files that ssh and kubectl read, for the time of one job."""

from __future__ import annotations

from pathlib import Path

from mlops.errors import UserError

KEY, HOSTS, KUBECONFIG = Path(".ssh/mlops_deploy"), Path(".ssh/mlops_known_hosts"), Path(".kube/mlops_deploy")
CONFIG = Path(".ssh/config")
BEGIN, END = "# mlops: begin\n", "# mlops: end\n"
# Only hosts whose key is known are spoken to: a key that is taken on trust could be anybody's.
RULES = "Match all\n  IdentityFile ~/{key}\n  UserKnownHostsFile ~/{hosts}\n  StrictHostKeyChecking yes\n  BatchMode yes\n"


def write(home: Path, key: str, hosts: str, kubeconfig: str) -> list[str]:
    """Write what is not empty and return the names of the files, below `home`.

    Raises UserError for a key without the host keys that it may be shown to.
    """
    written = []
    if key:
        if not hosts.strip():
            raise UserError("MLOPS_DEPLOY_KNOWN_HOSTS is empty: set the variable to what `ssh-keyscan HOST` prints")
        remove(home)
        _private(home / KEY, key)
        _private(home / HOSTS, hosts)
        content = (home / CONFIG).read_text(encoding="utf-8") if (home / CONFIG).is_file() else ""
        rules = RULES.format(key=KEY.as_posix(), hosts=HOSTS.as_posix())
        _private(home / CONFIG, f"{BEGIN}{rules}{END}{content}")
        written += [str(KEY), str(HOSTS)]
    if kubeconfig:
        _private(home / KUBECONFIG, kubeconfig)
        written.append(str(KUBECONFIG))
    return written


def remove(home: Path) -> None:
    """Take away what `write` wrote, and leave the rest of the configuration of ssh as it is."""
    for file in (KEY, HOSTS, KUBECONFIG):
        (home / file).unlink(missing_ok=True)
    config = home / CONFIG
    if config.is_file():
        text = config.read_text(encoding="utf-8")
        if BEGIN in text and END in text:
            _private(config, text.partition(BEGIN)[0] + text.partition(END)[2])


def _private(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text.rstrip("\n") + "\n" if text else "", encoding="utf-8")
