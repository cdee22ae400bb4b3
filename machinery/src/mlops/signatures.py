"""Signatures of versions by OpenSSF model-signing: who holds the private key has registered them.

Signed is `manifest.json` of the candidate, which holds the digest of every file of it. The signature is model-signing's bundle
(a DSSE envelope with an in-toto statement), kept as the tag `signature` of the version. Signing needs the extra `sign`;
reading needs `cryptography` alone, so that neither the jobs of a release nor an image need more packages.
https://github.com/sigstore/model-transparency, https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

from mlops import digests, folders
from mlops.errors import UserError

KEY = "MLOPS_SIGNING_KEY"
TAG = "signature"
MANIFEST = "manifest.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"
CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


class Unsigned(UserError):
    """Raised for a version that the configured key has not signed as it is."""


def sign(manifest: Path) -> str:
    """The signature of a candidate's manifest by the key that MLOPS_SIGNING_KEY holds or names, "" where there is none.

    Raises UserError where the key cannot be used or the extra `sign` is not installed.
    """
    key = os.environ.get(KEY, "")
    if not key:
        return ""
    try:
        import model_signing
    except ImportError as error:
        raise UserError(f"{KEY} is set, but model-signing is not installed ({error.name} is missing): make setup") from None
    with folders.work_folder() as scratch:
        private, model, signature = (scratch / name for name in ("key.pem", "model", "model.sig"))
        model.mkdir()
        shutil.copyfile(manifest, model / MANIFEST)
        private.touch(mode=0o600)
        try:
            private.write_bytes(key.encode() if key.startswith("-----BEGIN") else Path(key).read_bytes())
            model_signing.signing.Config().use_elliptic_key_signer(private_key=private).sign(model, signature)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{KEY}: no private EC key without password as PEM ({type(error).__name__}), or its path"
            ) from None
        return json.dumps(json.loads(signature.read_text(encoding="utf-8")), separators=(",", ":"))


def verify(title: str, manifest: Path, signature: str, public: Path) -> None:
    """Raise Unsigned unless the key in the PEM file `public` has signed this manifest; UserError for no such key."""
    if not signature:
        raise Unsigned(f"{title} is not signed, and serving.require_signature asks for it: train it again with {KEY} set")
    payload = _payload(title, signature, public)
    try:
        statement = json.loads(payload)
        signed = {row["name"]: (row["algorithm"], row["digest"]) for row in statement["predicate"]["resources"]}
        kind = statement["predicateType"]
    except (ValueError, KeyError, TypeError):
        raise Unsigned(f"{title}: its signature is over something else than a model") from None
    if kind != PREDICATE or signed != {MANIFEST: ("sha256", digests.of_file(manifest))}:
        raise Unsigned(f"{title}: its signature is over another content; the version was changed after it was signed")


def _payload(title: str, signature: str, public: Path) -> bytes:
    """What a DSSE envelope signs, after its signature was verified."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(public.read_bytes())
        algorithm = getattr(hashes, CURVES[key.curve.name])()  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError, KeyError):
        raise UserError(f"{public}: no public EC key as PEM; serving.require_signature names the file of one") from None
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
        payload, kind = base64.b64decode(envelope["payload"], validate=True), envelope["payloadType"]
        (given,) = (base64.b64decode(row["sig"], validate=True) for row in envelope["signatures"])
    except (ValueError, KeyError, TypeError):
        raise Unsigned(f"{title}: its signature cannot be read; it was changed or is damaged") from None
    if kind != PAYLOAD_TYPE:
        raise Unsigned(f"{title}: its signature is over something else than a model")
    authenticated = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    try:
        key.verify(given, authenticated, ec.ECDSA(algorithm))  # type: ignore[union-attr,call-arg,arg-type]
    except InvalidSignature:
        raise Unsigned(f"{title} is signed by another key than {public.name}, or was changed") from None
    return payload
