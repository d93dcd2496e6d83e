"""What a class of artefact does in one form it does in others: layouts, encodings, names and languages."""

from __future__ import annotations

import pytest
from variant_samples import BAD_VARIANTS, GOOD_VARIANTS, SUSPECT_VARIANTS

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Verdict
from casemate.detect.artifacts.scan import inspect_file


def _seen(verdict: Verdict) -> str:
    return "; ".join(f"{reason.code} {reason.text}" for reason in verdict.reasons)


@pytest.mark.parametrize(("name", "data"), BAD_VARIANTS, ids=[name for name, _ in BAD_VARIANTS])
def test_what_runs_code_is_malicious_in_every_form(name: str, data: bytes) -> None:
    verdict = inspect_file(Content.of(name, data))
    assert verdict.verdict == "malicious", _seen(verdict)


@pytest.mark.parametrize(("name", "data"), SUSPECT_VARIANTS, ids=[name for name, _ in SUSPECT_VARIANTS])
def test_what_may_do_harm_is_never_safe(name: str, data: bytes) -> None:
    assert inspect_file(Content.of(name, data)).verdict in ("suspicious", "unscannable")


@pytest.mark.parametrize(("name", "data"), GOOD_VARIANTS, ids=[name for name, _ in GOOD_VARIANTS])
def test_what_looks_alike_and_is_harmless_is_safe(name: str, data: bytes) -> None:
    verdict = inspect_file(Content.of(name, data))
    assert verdict.verdict == "safe", _seen(verdict)
