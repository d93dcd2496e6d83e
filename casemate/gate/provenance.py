"""Attestations of where an artefact comes from: in-toto statements, mostly SLSA provenance.

Definition: in-toto Attestation Framework 1.0 (statement, DSSE envelope: ``PAE``), SLSA provenance 0.2 and 1.0.  A file
holds one statement or envelope, or one a line.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from casemate.errors import BadInput
from casemate.gate.artifact import Artifact, read_small

MOST_BYTES = 64 << 20
PREDICATES = (
    "https://slsa.dev/provenance/",
    "https://slsa.dev/verification_summary/",
    "https://in-toto.io/attestation/",
)


@dataclass(frozen=True)
class Statement:
    """What an attestation says: digests of its subjects, who built them, and whether a key that is known signed it."""

    predicate_type: str
    digests: frozenset[str]
    builder: str | None
    signed: bool


def check(artifact: Artifact, path: Path, *, builders: frozenset[str] | None, keys: Sequence[Path]) -> str | None:
    """Why the attestations in a file do not cover the artefact; None if they do.

    Every file must be a subject, or the artefact's digest must be one.
    """
    try:
        statements = read(path, keys)
    except (BadInput, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the attestation cannot be read: {error}"[:200]
    good = [statement for statement in statements if statement.predicate_type.startswith(PREDICATES)]
    if not good:
        return "there is no provenance among the attestations"
    if keys:
        good = [statement for statement in good if statement.signed]
        if not good:
            return "no key that the policy names has signed the attestation"
    if builders is not None:
        named = sorted({statement.builder or "nobody" for statement in good})
        good = [statement for statement in good if statement.builder in builders]
        if not good:
            return f"it was built by {', '.join(named)[:200]}, who is not among the builders of the policy"
    digests = frozenset().union(*(statement.digests for statement in good))
    if artifact.digest in digests:
        return None
    missing = [file.name for file in artifact.files if file.sha256 not in digests]
    return f"no attestation has the digest of {', '.join(missing[:5])}" if missing else None


def read(path: Path, keys: Sequence[Path]) -> list[Statement]:
    """All statements of a file.

    Raises:
        BadInput, ValueError, KeyError, TypeError, AttributeError: it holds something else.
    """
    text = read_small(path, MOST_BYTES).decode("utf-8")
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    loaded = [serialization.load_pem_public_key(read_small(key, 1 << 16)) for key in keys]
    return [_statement(document, loaded) for document in documents]


def _statement(document: Any, keys: Sequence[Any]) -> Statement:
    envelope = document.get("dsseEnvelope", document)
    signed = False
    if "payload" in envelope:
        payload = base64.b64decode(envelope["payload"])
        signed = any(_signed(envelope, payload, key) for key in keys)
        document = json.loads(payload)
    predicate = document.get("predicate") or {}
    details = predicate.get("runDetails") or {}
    builder = (details.get("builder") or predicate.get("builder") or predicate.get("verifier") or {}).get("id")
    digests = {subject["digest"]["sha256"].lower() for subject in document["subject"] if "sha256" in subject["digest"]}
    return Statement(str(document.get("predicateType", "")), frozenset(digests), builder, signed)


def _signed(envelope: dict[str, Any], payload: bytes, key: Any) -> bool:
    kind = str(envelope.get("payloadType", "")).encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    for signature in envelope.get("signatures", ()):
        try:
            data = base64.b64decode(signature["sig"])
            if isinstance(key, ec.EllipticCurvePublicKey):
                digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
                key.verify(data, message, ec.ECDSA(digest))
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(data, message)
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(data, message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
            else:
                continue
            return True
        except (InvalidSignature, UnsupportedAlgorithm, KeyError, binascii.Error):
            continue
    return False
