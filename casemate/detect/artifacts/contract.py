"""What a scan says: reasons, and the verdict they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

VerdictWord = Literal["safe", "suspicious", "malicious", "unscannable"]
Severity = Literal["note", "unscannable", "suspicious", "malicious"]

VERDICTS: tuple[VerdictWord, ...] = ("safe", "suspicious", "malicious", "unscannable")
SEVERITIES: tuple[Severity, ...] = ("note", "unscannable", "suspicious", "malicious")
"""Each outweighs those before it; a reason alone gives the verdict of its name, ``note`` gives none."""

# MITRE ATLAS, release of May 2026
UNSAFE_ARTIFACT = "AML.T0011.000"
MALICIOUS_PACKAGE = "AML.T0011.001"
SUPPLY_CHAIN_SOFTWARE = "AML.T0010.001"
SUPPLY_CHAIN_DATA = "AML.T0010.002"
SUPPLY_CHAIN_MODEL = "AML.T0010.003"
EMBED_MALWARE = "AML.T0018.002"
COMMAND_INTERPRETER = "AML.T0050"
MASQUERADING = "AML.T0074"
CORRUPT_MODEL = "AML.T0076"
"""Content that a loader accepts and a scanner stumbles over."""


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong with an artefact.

    Args:
        code: stable name, ``<format>.<what>``, lower case.
        severity: what a reason of this rule makes of the file.
        technique: the ATLAS technique, if one fits.
        loader_effect: what a loader would do; a reason may say it more exactly.
    """

    code: str
    severity: Severity
    technique: str | None
    loader_effect: str


@dataclass(frozen=True)
class Reason:
    """Why a file got its verdict.

    Args:
        code: of the rule.
        text: what was seen, in one clause; holds evidence text, so escape it when printing.
        severity: see :data:`SEVERITIES`.
        path_inside: members from the outermost inwards, joined by ``!``; empty for the file itself.
        offset: byte in the innermost content, if one place can be named.
        technique: ATLAS technique.
        loader_effect: what a loader would do.
    """

    code: str
    text: str
    severity: Severity
    path_inside: str
    offset: int | None
    technique: str | None
    loader_effect: str


@dataclass(frozen=True)
class Verdict:
    """One file's verdict.

    Args:
        path: the file as it was named or found.
        verdict: the word.
        reasons: the gravest first; many of one kind are cut, see `reasons_left_off`.
        format: formats that could accept the content, the likeliest first, joined by ``+``; ``unknown`` if none.
        sha256: of the whole file; null where it was not read whole.
        bytes: its size.
        bytes_skipped: bytes that were owned without being read (tensor data; 0 with ``--full``).
        reasons_left_off: reasons beyond the first hundred.
        confined: whether the kernel kept the reading process from writing and from the network.
    """

    path: str
    verdict: VerdictWord
    reasons: tuple[Reason, ...]
    format: str
    sha256: str | None
    bytes: int
    bytes_skipped: int = 0
    reasons_left_off: int = 0
    confined: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as ``--json`` prints it: what is no valid text in names and evidence stands as escapes."""
        plain = {key: _valid(value) for key, value in vars(self).items()}
        reasons = [{key: _valid(value) for key, value in vars(reason).items()} for reason in self.reasons]
        return {**plain, "reasons": reasons}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """The verdict that :meth:`as_dict` told."""
        return cls(**{**data, "reasons": tuple(Reason(**reason) for reason in data["reasons"])})


def _valid(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
