"""The gate's policy, a TOML file.

::

    [artifact]
    formats = ["safetensors", "json", "text"]   # every file must be one of these; absent: any format
    verdicts = ["safe"]                         # verdicts that may pass
    max_file_bytes = 50_000_000_000
    max_total_bytes = 200_000_000_000

    [signature]
    required = true
    public_keys = ["keys/models.pub"]           # PEM, beside the policy; any one of them suffices
    certificates = ["keys/root.pem"]            # or certificates that may have signed

    [provenance]
    required = true
    builders = ["https://ci.example/builder"]   # who may have built it; absent: anyone
    public_keys = ["keys/ci.pub"]               # who must have signed the attestation; absent: unsigned will do

    [approvals]
    required = 1
    approvers = ["ana", "ben"]                  # whose approval counts; absent: anyone's

    [audit]
    file = "gate-audit.jsonl"                   # beside the policy

    [destinations.cluster]                      # overrides for one destination; with any listed, others are refused
    approvals = 2
    verdicts = ["safe"]
    formats = ["safetensors"]
    max_total_bytes = 1_000_000_000
    signature = true
    provenance = false
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from casemate.detect.artifacts.contract import VERDICTS
from casemate.errors import BadInput
from casemate.gate.artifact import read_small

POLICY_BYTES = 1 << 20
AUDIT_FILE = "gate-audit.jsonl"
TABLES: dict[str, dict[str, type]] = {
    "artifact": {"formats": list, "verdicts": list, "max_file_bytes": int, "max_total_bytes": int},
    "signature": {"required": bool, "public_keys": list, "certificates": list},
    "provenance": {"required": bool, "builders": list, "public_keys": list},
    "approvals": {"required": int, "approvers": list},
    "audit": {"file": str},
}
"""Tables, their settings and types."""
DESTINATION: dict[str, type] = {
    "approvals": int,
    "verdicts": list,
    "formats": list,
    "max_file_bytes": int,
    "max_total_bytes": int,
    "signature": bool,
    "provenance": bool,
}
"""What a destination may set otherwise."""


@dataclass(frozen=True)
class Policy:
    """What may pass.  Sizes are bytes; paths are absolute or beside the policy.

    Args:
        path: the file.
        sha256: of its content.
        formats: names of formats, None for any.
        verdicts: verdicts that may pass.
        max_file_bytes: largest file, None without limit.
        max_total_bytes: all files together.
        signature: whether one is required.
        public_keys: of whom a model signature may be.
        certificates: or certificates that may have signed.
        provenance: whether an attestation is required.
        builders: who may have built it, None for anyone.
        provenance_keys: who must have signed the attestation; empty when nobody must.
        approvals: how many people must have agreed.
        approvers: whose word counts, None for anyone's.
        audit: where decisions are written.
        destinations: overrides by name; empty when the destination does not matter.
    """

    path: Path
    sha256: str
    formats: frozenset[str] | None = None
    verdicts: frozenset[str] = frozenset({"safe"})
    max_file_bytes: int | None = None
    max_total_bytes: int | None = None
    signature: bool = False
    public_keys: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    provenance: bool = False
    builders: frozenset[str] | None = None
    provenance_keys: tuple[Path, ...] = ()
    approvals: int = 0
    approvers: frozenset[str] | None = None
    audit: Path = Path(AUDIT_FILE)
    destinations: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()

    def for_destination(self, name: str | None) -> Policy:
        """The policy with what the destination sets otherwise."""
        overrides = dict(dict(self.destinations).get(name or "", ()))
        for key in ("formats", "verdicts"):
            if key in overrides:
                overrides[key] = frozenset(overrides[key])
        return replace(self, **overrides)


def read_policy(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        BadInput: it cannot be read, or says something that is not known.
    """
    data = read_small(path, POLICY_BYTES)
    try:
        tables = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"the policy is no TOML: {error}", where=str(path)) from None
    destinations = tables.pop("destinations", {})
    for name, table in tables.items():
        _check(name, table, TABLES.get(name), path)
    if not isinstance(destinations, dict):
        raise BadInput("destinations must be tables", where=str(path))
    for name, table in destinations.items():
        _check(f"destinations.{name}", table, DESTINATION, path)
    artifact, signature = tables.get("artifact", {}), tables.get("signature", {})
    provenance, approvals = tables.get("provenance", {}), tables.get("approvals", {})
    verdicts = artifact.get("verdicts", ["safe"])
    for given in (verdicts, *(table.get("verdicts", ()) for table in destinations.values())):
        unknown = [word for word in given if word not in VERDICTS]
        if unknown:
            raise BadInput(f"there is no verdict {unknown[0]!r}", where=str(path), hint=", ".join(VERDICTS))
    policy = Policy(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        formats=frozenset(artifact["formats"]) if "formats" in artifact else None,
        verdicts=frozenset(verdicts),
        max_file_bytes=artifact.get("max_file_bytes"),
        max_total_bytes=artifact.get("max_total_bytes"),
        signature=signature.get("required", False),
        public_keys=tuple(path.parent / name for name in signature.get("public_keys", ())),
        certificates=tuple(path.parent / name for name in signature.get("certificates", ())),
        provenance=provenance.get("required", False),
        builders=frozenset(provenance["builders"]) if "builders" in provenance else None,
        provenance_keys=tuple(path.parent / name for name in provenance.get("public_keys", ())),
        approvals=approvals.get("required", 0),
        approvers=frozenset(approvals["approvers"]) if "approvers" in approvals else None,
        audit=path.parent / tables.get("audit", {}).get("file", AUDIT_FILE),
        destinations=tuple((name, tuple(table.items())) for name, table in destinations.items()),
    )
    wants = policy.signature or any(table.get("signature") for table in destinations.values())
    if wants and not (policy.public_keys or policy.certificates):
        raise BadInput("a signature is required and no key or certificate is named", where=str(path))
    return policy


def _check(name: str, table: Any, known: dict[str, type] | None, path: Path) -> None:
    if known is None or not isinstance(table, dict):
        raise BadInput(f"there is no table [{name}]", where=str(path), hint=", ".join((*TABLES, "destinations.NAME")))
    for key, value in table.items():
        kind = known.get(key)
        if kind is None:
            raise BadInput(f"[{name}] has no setting '{key}'", where=str(path), hint=", ".join(known))
        right = isinstance(value, kind) and not (kind is int and (isinstance(value, bool) or value < 0))
        if isinstance(value, list) and right:
            right = all(isinstance(part, str) for part in value)
        if not right:
            wanted = {list: "a list of text", int: "a whole number, 0 or more", bool: "true or false", str: "text"}[
                kind
            ]
            raise BadInput(f"[{name}] {key} must be {wanted}", where=str(path))
