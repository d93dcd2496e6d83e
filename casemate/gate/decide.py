"""May an artefact pass?  Every rule of the policy is asked, also after one has refused: what each costs is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from casemate.detect.artifacts.contract import Verdict
from casemate.detect.artifacts.inspection import Options
from casemate.detect.artifacts.scan import scan
from casemate.gate import approvals, provenance, signing
from casemate.gate.artifact import PROVENANCE_NAMES, SIGNATURE_NAMES, Artifact, papers, read_artifact
from casemate.gate.policy import Policy

RULES = ("destination", "content", "format", "verdict", "size", "signature", "provenance", "approvals")
"""In the order in which they are asked."""
NAMED = 5


@dataclass(frozen=True)
class Request:
    """What is asked of the gate.

    Args:
        path: file or folder.
        destination: where it shall go, as the policy names it.
        approved_by: names given by the caller.
        approvals: a file of approvals.
        signature: the signature, where it is not in its usual place.
        provenance: the attestation, where it is not in its usual place.
        options: of the scan.
    """

    path: Path
    destination: str | None = None
    approved_by: tuple[str, ...] = ()
    approvals: Path | None = None
    signature: Path | None = None
    provenance: Path | None = None
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class RuleResult:
    """What one rule said: whether it lets pass, why, and the seconds it took."""

    rule: str
    passed: bool
    text: str
    seconds: float


@dataclass(frozen=True)
class Decision:
    """The answer of the gate.  Times are UTC, sizes bytes, durations seconds of wall clock."""

    allowed: bool
    time: datetime
    path: str
    digest: str
    bytes: int
    destination: str | None
    policy: str
    policy_sha256: str
    rules: tuple[RuleResult, ...]
    approved_by: tuple[str, ...]
    seconds: float
    verdicts: tuple[Verdict, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()
    """Path and SHA-256 of every file."""

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The rules that did not let it pass."""
        return tuple(result.rule for result in self.rules if not result.passed)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as ``--json`` and the audit record have it."""
        counts: dict[str, int] = {}
        for verdict in self.verdicts:
            counts[verdict.verdict] = counts.get(verdict.verdict, 0) + 1
        return {
            "event": "gate_decision",
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "allowed": self.allowed,
            "path": self.path,
            "digest": self.digest,
            "bytes": self.bytes,
            "files": len(self.digests),
            "verdicts": counts,
            "destination": self.destination,
            "policy": self.policy,
            "policy_sha256": self.policy_sha256,
            "approved_by": list(self.approved_by),
            "rules": [{**vars(result), "seconds": round(result.seconds, 6)} for result in self.rules],
            "refused_by": list(self.refused_by),
            "seconds": round(self.seconds, 6),
        }


def decide(request: Request, policy: Policy, *, now: datetime | None = None) -> Decision:
    """Hold an artefact against a policy.  Nothing of it is loaded or run.

    Args:
        request: what is asked.
        policy: from :func:`casemate.gate.policy.read_policy`.
        now: the time of the decision; the present when not given.

    Raises:
        BadInput: the artefact or a paper cannot be read.
        MissingExtra: a signature is required and the library for it is not installed.
    """
    began = perf_counter()
    asked = policy.for_destination(request.destination)
    signature = papers(request.path, request.signature, SIGNATURE_NAMES, (".sig", ".sigstore.json"))
    attestation = papers(request.path, request.provenance, PROVENANCE_NAMES, (".intoto.jsonl", ".provenance.json"))
    artifact = read_artifact(request.path, (signature, attestation))
    hashing = perf_counter() - began
    started = perf_counter()
    verdicts = _verdicts(artifact, request, (signature, attestation))
    scanning = perf_counter() - started
    by = approvals.names(request.approvals, request.approved_by, artifact.digest, request.destination)
    questions: dict[str, Callable[[], tuple[bool, str]]] = {
        "destination": lambda: _destination(request.destination, policy),
        "content": lambda: _content(artifact, verdicts),
        "format": lambda: _format(verdicts, asked),
        "verdict": lambda: _verdict(verdicts, asked),
        "size": lambda: _size(artifact, asked),
        "signature": lambda: _signature(artifact, signature, asked),
        "provenance": lambda: _provenance(artifact, attestation, asked),
        "approvals": lambda: _approvals(by, asked),
    }
    extra = {"content": hashing, "verdict": scanning}
    results = []
    for rule in RULES:
        started = perf_counter()
        passed, text = questions[rule]()
        results.append(RuleResult(rule, passed, text, perf_counter() - started + extra.get(rule, 0.0)))
    return Decision(
        allowed=all(result.passed for result in results),
        time=now or datetime.now(UTC),
        path=str(request.path),
        digest=artifact.digest,
        bytes=artifact.bytes,
        destination=request.destination,
        policy=str(policy.path),
        policy_sha256=policy.sha256,
        rules=tuple(results),
        approved_by=by,
        seconds=perf_counter() - began,
        verdicts=tuple(verdicts),
        digests=tuple((file.name, file.sha256) for file in artifact.files),
    )


def _verdicts(artifact: Artifact, request: Request, without: tuple[Path | None, ...]) -> list[Verdict]:
    skipped = {str(paper) for paper in without if paper is not None}
    return [found for found in scan([artifact.path], request.options) if found.path not in skipped]


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more


def _destination(name: str | None, policy: Policy) -> tuple[bool, str]:
    if not policy.destinations:
        return True, "any destination"
    known = [one for one, _ in policy.destinations]
    if name in known:
        return True, f"{name} is a destination of the policy"
    said = f"{name!r} is not" if name else "none was named, and it must be"
    return False, f"{said} one of the policy's destinations ({', '.join(known)})"


def _content(artifact: Artifact, verdicts: Sequence[Verdict]) -> tuple[bool, str]:
    """The bytes that were hashed are those that were scanned, and there is nothing but files."""
    if artifact.odd:
        return False, f"no regular files: {_listed(artifact.odd)}"
    if not artifact.files:
        return False, "there is no file"
    digests = {str(file.path): file.sha256 for file in artifact.files}
    scanned = {found.path for found in verdicts}
    unread = [path for path in digests if path not in scanned]
    changed = [found.path for found in verdicts if found.sha256 not in (None, digests.get(found.path))]
    changed += [file.name for file in artifact.files if file.path.stat().st_size != file.bytes]
    if unread or changed:
        return False, f"changed while it was judged: {_listed([*unread, *changed])}"
    return True, f"{len(digests)} files"


def _format(verdicts: Sequence[Verdict], policy: Policy) -> tuple[bool, str]:
    if policy.formats is None:
        return True, "any format"
    # of a content that could be several formats, every one must be allowed
    bad = [
        f"{found.path} is {found.format}"
        for found in verdicts
        if not set(found.format.split("+")) <= policy.formats | {"empty"}
    ]
    return not bad, _listed(bad) if bad else "all formats are allowed"


def _verdict(verdicts: Sequence[Verdict], policy: Policy) -> tuple[bool, str]:
    bad = [
        f"{found.path} is {found.verdict}" + (f" ({found.reasons[0].code})" if found.reasons else "")
        for found in verdicts
        if found.verdict not in policy.verdicts
    ]
    return not bad, _listed(bad) if bad else f"every file is {' or '.join(sorted(policy.verdicts))}"


def _size(artifact: Artifact, policy: Policy) -> tuple[bool, str]:
    limit = policy.max_file_bytes
    large = [
        f"{file.name} has {file.bytes:,} bytes" for file in artifact.files if limit is not None and file.bytes > limit
    ]
    if large:
        return False, f"larger than {limit:,} bytes: {_listed(large)}"
    if policy.max_total_bytes is not None and artifact.bytes > policy.max_total_bytes:
        return False, f"{artifact.bytes:,} bytes together, {policy.max_total_bytes:,} are allowed"
    return True, f"{artifact.bytes:,} bytes"


def _signature(artifact: Artifact, signature: Path | None, policy: Policy) -> tuple[bool, str]:
    if not policy.signature:
        return True, "no signature is required"
    if signature is None or not signature.is_file():
        return False, "there is no signature"
    names = [file.name for file in artifact.files]
    why = signing.verify(
        artifact.path, signature, names, public_keys=policy.public_keys, certificates=policy.certificates
    )
    return why is None, why or "the signature holds for all files"


def _provenance(artifact: Artifact, attestation: Path | None, policy: Policy) -> tuple[bool, str]:
    if not policy.provenance:
        return True, "no provenance is required"
    if attestation is None or not attestation.is_file():
        return False, "there is no attestation"
    why = provenance.check(artifact, attestation, builders=policy.builders, keys=policy.provenance_keys)
    return why is None, why or "the attestation has the digests of all files"


def _approvals(names: Sequence[str], policy: Policy) -> tuple[bool, str]:
    counted = [name for name in names if policy.approvers is None or name in policy.approvers]
    said = f"{len(counted)} of {policy.approvals} approvals"
    return len(counted) >= policy.approvals, f"{said} ({', '.join(counted)})" if counted else said
