"""What a class of artefact does in one form it does in others: layouts, encodings, names and languages."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from variant_samples import BAD_VARIANTS, GOOD_VARIANTS, SUSPECT_VARIANTS

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import Verdict
from casemate.detect.artifacts.one_file import inspect_file


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


def test_an_object_that_jsonpickle_would_build_is_found_in_a_cell_of_a_table() -> None:
    def table(cell: str) -> bytes:
        sink = io.BytesIO()
        pq.write_table(pa.table({"text": [cell, "words"]}), sink)
        return sink.getvalue()

    call = json.dumps({"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["true"]}]})
    assert inspect_file(Content.of("data.parquet", table(call))).verdict == "malicious"
    for harmless in (
        '{"py/object": "my words about it',
        json.dumps({"py/tuple": [1, 2]}),
        json.dumps({"py": "os.system"}),
    ):
        assert inspect_file(Content.of("data.parquet", table(harmless))).verdict == "safe"
