"""``casemate scan`` and ``casemate gate``."""

from __future__ import annotations

from casemate.cli.schemas.words import (
    COUNT,
    NULL_TEXT,
    NUMBER,
    SHA256,
    TEXT,
    TIME,
    TRUTH,
    Schema,
    an_object,
    counts,
    listed,
    one_of,
    or_null,
)
from casemate.detect.artifacts.contract import SEVERITIES as ARTIFACT_SEVERITIES
from casemate.detect.artifacts.contract import VERDICTS as ARTIFACT_VERDICTS
from casemate.gate.decide import RULES as GATE_RULES

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "scan": (
        "casemate scan --json, one line per file",
        an_object(
            path=TEXT,
            verdict=one_of(*ARTIFACT_VERDICTS),
            reasons=listed(
                an_object(
                    code=TEXT,
                    text=TEXT,
                    severity=one_of(*ARTIFACT_SEVERITIES),
                    path_inside=TEXT,
                    offset=or_null(COUNT),
                    technique=NULL_TEXT,
                    loader_effect=TEXT,
                )
            ),
            format=TEXT,
            sha256=or_null(SHA256),
            bytes=COUNT,
            bytes_skipped=COUNT,
            reasons_left_off=COUNT,
            confined=or_null(TRUTH),
        ),
    ),
    "gate_check": (
        "casemate gate check --json, one line of the audit record (which adds previous), POST /decide of gate serve",
        an_object(
            event=one_of("gate_decision"),
            time=TIME,
            allowed=TRUTH,
            path=TEXT,
            digest=SHA256,
            bytes=COUNT,
            files=COUNT,
            verdicts=counts(),
            destination=NULL_TEXT,
            policy=TEXT,
            policy_sha256=SHA256,
            approved_by=listed(TEXT),
            rules=listed(an_object(rule=one_of(*GATE_RULES), passed=TRUTH, text=TEXT, seconds=NUMBER)),
            refused_by=listed(one_of(*GATE_RULES)),
            seconds=NUMBER,
        ),
    ),
    "gate_sign": ("casemate gate sign --json", an_object(path=TEXT, signature=TEXT, bytes=COUNT)),
    "gate_verify": ("casemate gate verify --json", an_object(path=TEXT, verified=TRUTH, why=NULL_TEXT, files=COUNT)),
    "gate_approve": (
        "casemate gate approve --json, one line of a file of approvals",
        an_object(artifact=SHA256, by=TEXT, time=TIME, destination=NULL_TEXT),
    ),
    "gate_cost": (
        "casemate gate cost --json",
        an_object(
            decisions=COUNT,
            held_back=COUNT,
            share_held_back=or_null(NUMBER),
            bytes=COUNT,
            seconds=NUMBER,
            seconds_per_artifact=an_object(
                mean=or_null(NUMBER), median=or_null(NUMBER), p95=or_null(NUMBER), most=or_null(NUMBER)
            ),
            rules=counts(
                an_object(
                    asked=COUNT,
                    held_back=COUNT,
                    only=COUNT,
                    seconds=NUMBER,
                    share_held_back=NUMBER,
                    seconds_per_artifact=NUMBER,
                )
            ),
            broken=listed(an_object(file=TEXT, line=COUNT, what=TEXT)),
        ),
    ),
}
"""By file name: which output it is of, and the schema."""
