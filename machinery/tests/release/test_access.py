"""The secrets of a target: in files that only their owner reads, and gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import UserError
from mlops.release import access


def test_a_key_is_written_for_ssh_and_taken_away_again(tmp_path: Path) -> None:
    config = tmp_path / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text("Host x\n  User y\n")
    assert access.write(tmp_path, "KEY", "host ssh-ed25519 AAAA", "") == [".ssh/mlops_deploy", ".ssh/mlops_known_hosts"]
    access.write(tmp_path, "KEY2", "host ssh-ed25519 AAAA", "")
    assert (tmp_path / access.KEY).read_text() == "KEY2\n"
    assert config.read_text().count("StrictHostKeyChecking yes") == 1 and config.read_text().endswith("Host x\n  User y\n")
    for name in (".ssh/mlops_deploy", ".ssh/mlops_known_hosts", ".ssh/config"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600, name
    access.remove(tmp_path)
    assert config.read_text() == "Host x\n  User y\n"
    assert sorted(path.name for path in config.parent.iterdir()) == ["config"]


def test_a_cluster_needs_no_ssh(tmp_path: Path) -> None:
    assert access.write(tmp_path, "", "", "apiVersion: v1") == [".kube/mlops_deploy"]
    assert (tmp_path / access.KUBECONFIG).stat().st_mode & 0o777 == 0o600 and not (tmp_path / ".ssh").exists()
    access.remove(tmp_path)
    assert not (tmp_path / access.KUBECONFIG).exists()


def test_without_secrets_nothing_is_written(tmp_path: Path) -> None:
    assert access.write(tmp_path, "", "host key", "") == []
    access.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_key_without_the_hosts_that_may_see_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MLOPS_DEPLOY_KNOWN_HOSTS is empty"):
        access.write(tmp_path, "KEY", " ", "")
    assert not (tmp_path / access.KEY).exists()
