"""A version is read where its signature is asked for only if the key has signed it as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import mlops
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlops import pipeline, signatures, tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import versions
from mlops.use_case import load_use_case


def new_key(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """A private and a public key as PEM."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def manifest(environment: None, tmp_path: Path) -> Path:
    file = tmp_path / "manifest.json"
    file.write_text('{"files": {"model/model.skops": "0"}}')
    return file


@pytest.fixture
def signed(project: Project) -> Project:
    """A project whose iris 1.0.0 was signed at its registration, and whose configuration asks for that."""
    private, _ = new_key(project.root / "config", "signing")
    os.environ["MLOPS_SIGNING_KEY"] = private.read_text()
    with open(project.root / "config" / "iris.yaml", "a", encoding="utf-8") as config:
        config.write("serving: {require_signature: config/signing.pub}\n")
    pipeline.run(project, load_use_case(project, "iris"))
    return project


def set_tag(project: Project, tag: str, value: str) -> None:
    with tracking.open_store(project) as client:
        client.set_model_version_tag("iris", "1", tag, value)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_was_signed_is_read_and_model_signing_agrees(manifest: Path, tmp_path: Path, curve: ec.EllipticCurve):
    private, public = new_key(tmp_path, "a", curve)
    for key in (str(private), private.read_text()):
        os.environ["MLOPS_SIGNING_KEY"] = key
        signatures.verify("iris 1.0.0", manifest, signatures.sign(manifest), public)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_bytes(manifest.read_bytes())
    (tmp_path / "model.sig").write_text(signatures.sign(manifest))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(tmp_path / "model")]
    command += ["--signature", str(tmp_path / "model.sig"), "--public_key", str(public)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def changed(signature: str, **envelope: object) -> str:
    bundle = json.loads(signature)
    bundle["dsseEnvelope"] |= envelope
    return json.dumps(bundle)


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda text: "", "is not signed"),
        (lambda text: "{}", "cannot be read"),
        (lambda text: "none", "cannot be read"),
        (lambda text: changed(text, signatures=[]), "cannot be read"),
        (lambda text: changed(text, payloadType="text/plain"), "something else than a model"),
        (lambda text: changed(text, payload="e30="), "another key"),
    ],
    ids=["absent", "empty", "no JSON", "no signature", "other type", "other payload"],
)
def test_a_forged_signature_is_refused(manifest: Path, tmp_path: Path, forge, reason: str):
    private, public = new_key(tmp_path, "a")
    os.environ["MLOPS_SIGNING_KEY"] = str(private)
    with pytest.raises(signatures.Unsigned, match=reason):
        signatures.verify("iris 1.0.0", manifest, forge(signatures.sign(manifest)), public)


def test_another_key_and_another_content_are_refused(manifest: Path, tmp_path: Path):
    private, public = new_key(tmp_path, "a")
    os.environ["MLOPS_SIGNING_KEY"] = str(private)
    signature = signatures.sign(manifest)
    with pytest.raises(signatures.Unsigned, match=r"signed by another key than b\.pub"):
        signatures.verify("iris 1.0.0", manifest, signature, new_key(tmp_path, "b")[1])
    manifest.write_text("{}")
    with pytest.raises(signatures.Unsigned, match="over another content"):
        signatures.verify("iris 1.0.0", manifest, signature, public)


def test_a_key_that_is_none_is_reported_and_without_one_nothing_is_signed(manifest: Path, tmp_path: Path):
    assert signatures.sign(manifest) == ""
    os.environ["MLOPS_SIGNING_KEY"] = str(tmp_path / "missing.pem")
    with pytest.raises(UserError, match="MLOPS_SIGNING_KEY: no private EC key"):
        signatures.sign(manifest)
    with pytest.raises(UserError, match="no public EC key as PEM"):
        signatures.verify("iris 1.0.0", manifest, "{}", manifest)


def test_a_signed_version_is_bundled_and_any_other_is_refused(signed: Project):
    assert mlops("bundle", "iris").code == 0
    with tracking.open_store(signed) as client:
        (version,) = versions.all_of(client, "iris")
    genuine = version.tags["signature"]
    other, _ = new_key(signed.root / "config", "other")
    os.environ["MLOPS_SIGNING_KEY"] = str(other)
    file = signed.output / "manifest.json"
    file.write_text(json.dumps(versions.manifest_of(signed, version)))
    set_tag(signed, "signature", signatures.sign(file))
    assert "is signed by another key than signing.pub" in mlops("bundle", "iris").error
    set_tag(signed, "signature", "")
    for command in (("bundle", "iris"), ("card", "iris")):
        assert "is not signed, and serving.require_signature asks for it" in mlops(*command).error
    set_tag(signed, "signature", genuine)
    assert mlops("bundle", "iris").code == 0


def test_files_exchanged_with_their_digests_are_refused(signed: Project):
    """Who can write to the store changes the manifest, and its digest in the tags: digests alone would let it through."""
    from mlops import digests

    (file,) = signed.store.rglob("candidate/manifest.json")
    content = json.loads(file.read_text())
    content["metrics"]["accuracy"] = 1.0
    file.write_text(json.dumps(content))
    set_tag(signed, "manifest_digest", digests.of_file(file))
    assert "its signature is over another content" in mlops("bundle", "iris").error
