"""Findings and the records they rest on (OCSF ``detection_finding`` in the case's vocabulary)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from casemate.schema.native import UTC_MICROSECONDS

SEVERITIES: tuple[str, ...] = ("informational", "low", "medium", "high", "critical")
OUTCOMES: tuple[str, ...] = ("blocked", "failed", "succeeded", "unknown")
CONFIDENCES: tuple[str, ...] = ("low", "medium", "high")
SOURCE_KINDS: tuple[str, ...] = ("address", "network", "host", "user", "process", "unknown")
TARGET_KINDS: tuple[str, ...] = ("address", "host", "service", "user", "resource", "own_network", "unknown")
VECTORS: dict[str, str] = {
    "network": "packets to a listening service (scans, exploits of a service)",
    "credential": "use or guessing of passwords, keys, tokens, tickets",
    "web": "requests to a web application",
    "email": "messages to people",
    "host": "code or commands running on a host",
    "cloud_api": "calls of a cloud provider's interface",
    "cluster_api": "calls of a cluster's interface",
    "artifact": "a model, dataset, notebook or package that was brought in",
    "unknown": "the records do not say",
}

SOURCE = pa.struct([pa.field("kind", pa.string()), pa.field("value", pa.string())])
TARGET = pa.struct([pa.field("kind", pa.string()), pa.field("value", pa.string()), pa.field("service", pa.string())])
RECORD = pa.struct([pa.field("evidence", pa.string()), pa.field("record", pa.int64())])

FINDINGS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("time", UTC_MICROSECONDS),
        pa.field("time_end", UTC_MICROSECONDS),
        pa.field("detector", pa.string(), nullable=False),  # "sigma", "sigma_decoded", "behaviour.<analytic>", ...
        pa.field("rule_id", pa.string(), nullable=False),
        pa.field("rule_version", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("techniques", pa.list_(pa.string()), nullable=False),  # "T1110.003", "AML.T0024", sorted
        pa.field("tactics", pa.list_(pa.string()), nullable=False),  # "credential-access", sorted
        pa.field("source", SOURCE),
        pa.field("target", TARGET),
        pa.field("vector", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("confidence", pa.string(), nullable=False),
        pa.field("why", pa.string(), nullable=False),  # JSON tree of what matched where
    ]
)

FINDINGS_WITH_RECORDS = FINDINGS.append(pa.field("records", pa.list_(RECORD), nullable=False))
"""What detectors return; the store splits it into ``findings`` and ``finding_records``."""

FINDING_RECORDS = pa.schema(
    [
        pa.field("finding", pa.string(), nullable=False),
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
    ]
)


def finding_id(rule_id: str, records: Iterable[tuple[str, int]]) -> str:
    """The id of the finding of one rule about one set of records.

    It does not depend on the rule's version, the order of the records or when it was made, so a
    new rule version that says the same about the same records keeps the finding's id.
    """
    digest = hashlib.sha256(rule_id.encode())
    for evidence, record in sorted(set(records)):
        digest.update(f"\n{evidence}:{record}".encode())
    return digest.hexdigest()[:32]
