"""What a tuning is, its Sigma filter, and its form in a custody line.

Source of the form: Sigma Filters Specification 2.1 (``filter.rules``, ``filter.condition``), read and checked by
pySigma.  A filter's condition says what stays; a tuning acts on what does not.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import yaml

from casemate.errors import BadInput
from casemate.schema.findings import SEVERITIES

KINDS: dict[str, str] = {
    "suppress": "the findings are taken out; they stay counted and listed",
    "severity": "the findings get another severity",
}
SCOPES: dict[str, str] = {
    "case": "kept in the case's custody log, for this case only",
    "site": "kept in Casemate's data folder, for every case of this user",
}
ABOUT: dict[str, str] = {
    "record": "fields of the record the finding rests on, as the rule names them",
    "finding": "fields of the finding itself: source, target, account, ...",
}
FINDING_LOG_SOURCE = {"product": "casemate", "service": "finding"}
"""Log source of a filter whose fields are those of findings."""
NAMESPACE = uuid.UUID("6f0d5f0c-3b0e-5d0a-9a6e-6d2f4c1f7f52")
REASON_LENGTH = 2_000
CONDITION_BYTES = 256 * 1024
"""Longest condition, as JSON; a custody log that someone else wrote is not trusted with more."""
SHORT = 8
"""Digits of an id that people type."""


@dataclass(frozen=True)
class Tuning:
    """One tuning.

    Args:
        id: UUID made of what it says, so the same tuning has the same id everywhere.
        kind, scope, about: see :data:`KINDS`, :data:`SCOPES`, :data:`ABOUT`.
        rules: ids of the rules it is for, lower case; empty for any rule of its log source.
        log_source: product, category, service it is written for; a rule that contradicts it is not touched.
        detection: the filter's parts and its ``condition``; None (severity only) for all findings of the rules.
        severity: the new one, for the kind ``severity``.
        reason: why, in the words of who added it.
        until: last day (UTC) it is in force; None for ever.
        who: who added it; at: when (UTC, ISO 8601).
    """

    id: str
    kind: str
    scope: str
    about: str
    rules: tuple[str, ...]
    log_source: Mapping[str, str]
    detection: Mapping[str, Any] | None
    severity: str | None
    reason: str
    until: str | None
    who: str
    at: str

    def in_force(self, day: dt.date) -> bool:
        """Whether it acts on that day (UTC)."""
        return self.until is None or day <= dt.date.fromisoformat(self.until)

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.id[:SHORT]


def make_tuning(
    *,
    kind: str,
    scope: str,
    about: str,
    rules: tuple[str, ...],
    log_source: Mapping[str, str],
    detection: Mapping[str, Any] | None,
    severity: str | None,
    reason: str,
    until: str | None,
    who: str,
    at: dt.datetime,
) -> Tuning:
    """A tuning with its id.

    Raises:
        BadInput: no reason, no such severity, a day that is none.
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > REASON_LENGTH or not reason.isprintable():
        raise BadInput("say why in one line of text", where="--reason")
    if severity is not None and severity not in SEVERITIES:
        raise BadInput(f"no severity '{severity}'", where="--set", hint="one of " + ", ".join(SEVERITIES))
    if not _is_short(detection):
        raise BadInput(f"a condition longer than {CONDITION_BYTES} bytes", where="--where")
    said = {
        "kind": kind,
        "about": about,
        "rules": sorted(rules),
        "log_source": dict(log_source),
        "detection": detection,
        "severity": severity,
    }
    identity = uuid.uuid5(NAMESPACE, orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode())
    return Tuning(
        id=str(identity),
        kind=kind,
        scope=scope,
        about=about,
        rules=tuple(sorted(rules)),
        log_source=dict(log_source),
        detection=detection,
        severity=severity,
        reason=reason,
        until=read_until(until),
        who=who,
        at=at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
    )


def read_until(text: str | None) -> str | None:
    """A day as ``YYYY-MM-DD``; None for ``never`` (or None).

    Raises:
        BadInput: neither.
    """
    if text is None or text == "never":
        return None
    try:
        return dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadInput(f"'{text}' is no day", where="--until", hint="such as 2026-12-31, or never") from None


def as_plain(tuning: Tuning) -> dict[str, Any]:
    """As values that JSON knows; what custody lines hold."""
    return {**vars(tuning), "rules": list(tuning.rules)}


def from_plain(plain: Mapping[str, Any]) -> Tuning:
    """The inverse of :func:`as_plain`.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    values: dict[str, Any] = {name: plain[name] for name in Tuning.__dataclass_fields__}
    detection, log_source = values["detection"], values["log_source"]
    if detection is not None and not (isinstance(detection, dict) and isinstance(detection.get("condition"), str)):
        raise ValueError("no detection")
    if not _is_short(detection):
        raise ValueError("a condition that is too long")
    if not isinstance(log_source, dict) or values["kind"] not in KINDS or values["about"] not in ABOUT:
        raise ValueError("not a tuning")
    if values["kind"] == "severity" and values["severity"] not in SEVERITIES:
        raise ValueError("no severity")
    if values["kind"] == "suppress" and detection is None:
        raise ValueError("no condition")
    texts = ("id", "kind", "scope", "about", "reason", "who", "at")
    if not all(isinstance(values[name], str) for name in texts):
        raise TypeError("not text")
    if values["until"] is not None:
        dt.date.fromisoformat(values["until"])
    values["rules"] = tuple(str(rule) for rule in values["rules"])
    return Tuning(**values)


def _is_short(detection: Mapping[str, Any] | None) -> bool:
    """Whether a condition is of reasonable size and holds nothing but what JSON knows."""
    try:
        return len(orjson.dumps(detection)) <= CONDITION_BYTES
    except TypeError:
        return False


def filter_document(tuning: Tuning) -> dict[str, Any]:
    """The tuning as a Sigma filter that any Sigma tool reads; what is Casemate's own stands under ``custom``."""
    detection = dict(tuning.detection) if tuning.detection is not None else {}
    return {
        "title": f"Tuning {tuning.short}: {tuning.reason}"[:256],
        "id": tuning.id,
        "description": tuning.reason,
        "author": tuning.who,
        "date": tuning.at[:10],
        "logsource": dict(tuning.log_source),
        "filter": {"rules": list(tuning.rules) or "any", **detection},
        "custom": {"kind": tuning.kind, "severity": tuning.severity, "until": tuning.until, "scope": tuning.scope},
    }


def as_yaml(document: Mapping[str, Any]) -> str:
    """A document as YAML, keys in their order."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=4096)


def moved(tuning: Tuning, scope: str) -> Tuning:
    """The same tuning in another scope."""
    return replace(tuning, scope=scope)
