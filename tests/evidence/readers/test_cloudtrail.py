"""CloudTrail events in all the forms in which they are handed over."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_reading import SMALL, Reading, filled, read

from casemate.evidence.readers.cloudtrail import CLOUDTRAIL_DOCUMENTS, CLOUDTRAIL_LINES

EVENT = {
    "eventVersion": "1.08",
    "eventTime": "2024-03-04T05:06:07Z",
    "eventSource": "signin.amazonaws.com",
    "eventName": "ConsoleLogin",
    "awsRegion": "eu-west-1",
    "sourceIPAddress": "192.0.2.9",
    "userIdentity": {
        "type": "IAMUser",
        "userName": "al",
        "sessionContext": {"attributes": {"mfaAuthenticated": "false"}},
    },
    "requestParameters": {"containerDefinitions": [{"command": ["a", "b"]}, {"command": "c"}], "n": 10},
    "responseElements": {"ConsoleLogin": "Failure"},
    "readOnly": False,
    "resources": [{"ARN": "x"}],
}
TEXT = json.dumps(EVENT)


def read_either(content: bytes) -> Reading:
    lines, documents = CLOUDTRAIL_LINES.recognise(content), CLOUDTRAIL_DOCUMENTS.recognise(content)
    assert max(lines, documents) >= 80
    assert min(lines, documents) == 0
    return read(CLOUDTRAIL_DOCUMENTS if documents else CLOUDTRAIL_LINES, content)


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (json.dumps({"Records": [EVENT, EVENT]}), 2),
        (json.dumps([EVENT, EVENT], indent=3), 2),
        (f"{TEXT}\n{TEXT}\n", 2),
        (TEXT, 1),
        (json.dumps(EVENT, indent=2), 1),
        (json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": TEXT}]}), 1),
        (json.dumps([{"@timestamp": "x", "@message": TEXT}]), 1),
        (json.dumps({"Events": [{"EventId": "1", "CloudTrailEvent": TEXT}]}, indent=1), 1),
        (json.dumps({"detail-type": "AWS API Call via CloudTrail", "detail": EVENT}) + "\n", 1),
        (json.dumps({"_source": EVENT}) + "\n", 1),
        (json.dumps({"Records": [EVENT]}) + "\n" + json.dumps({"Records": [EVENT]}) + "\n", 2),
    ],
)
def test_every_form_gives_the_same_row(content: str, records: int) -> None:
    reading = read_either(content.encode())
    assert reading.tally.records == len(reading.rows) == records
    for row in reading.rows:
        assert row["time"] == datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
        assert row["eventName"] == "ConsoleLogin"
        assert row["userIdentity.userName"] == "al"
        assert row["userIdentity.sessionContext.attributes.mfaAuthenticated"] == "false"
        assert row["responseElements.ConsoleLogin"] == "Failure"
        assert row["readOnly"] == "false"
        assert row["requestParameters.containerDefinitions.command"] == '["a","b","c"]'
        assert json.loads(row["requestParameters"]) == EVENT["requestParameters"]
        assert json.loads(row["rest"])["requestParameters.n"] == "10"


def test_the_slice_of_a_row_is_the_event() -> None:
    content = json.dumps({"Records": [EVENT, {**EVENT, "eventID": "é"}]}, ensure_ascii=False, indent=2).encode()
    reading = read_either(content)
    assert [json.loads(content[row["offset"] :][: row["length"]]).get("eventID") for row in reading.rows] == [None, "é"]


@pytest.mark.parametrize(
    ("address", "flag"),
    [
        ("035.249.253.232", "address_invalid"),
        ("ec2.amazonaws.com", None),
        ("AWS Internal", None),
        ("2001:db8::1", None),
    ],
)
def test_addresses_that_are_none_are_kept_and_flagged(address: str, flag: str | None) -> None:
    row = read_either(json.dumps({**EVENT, "sourceIPAddress": address}).encode()).rows[0]
    assert row["sourceIPAddress"] == address
    assert row["flags"] == flag


def test_keys_given_twice_surrogates_and_strangers_are_rejected_with_words() -> None:
    content = b"\n".join(
        [
            TEXT.encode(),
            TEXT.replace('"awsRegion"', '"eventName": "Other", "awsRegion"').encode(),
            TEXT.replace("eu-west-1", "\\ud800").encode(),
            b'{"hello": 1}',
            TEXT.encode()[:40],
        ]
    )
    reading = read(CLOUDTRAIL_LINES, content)
    assert [reject.record for reject in reading.rejects] == [2, 3, 4, 5]
    words = ["twice", "surrogate", "not a CloudTrail event", "not JSON"]
    assert all(word in reject.reason for word, reject in zip(words, reading.rejects, strict=True))


def test_numbers_and_bytes_that_parsers_change_are_flagged() -> None:
    line = TEXT.replace('"n": 10', '"n": 1.50').encode().replace(b"eu-west-1", b"eu-\xff")
    row = read(CLOUDTRAIL_LINES, line).rows[0]
    assert json.loads(row["rest"])["requestParameters.n"] == "1.50"
    assert row["awsRegion"] == "eu-\\xff"
    assert row["flags"] == "encoding_replaced;number_rewritten"


@pytest.mark.parametrize(
    ("archive", "records"), [("stratus-cloudtrail.zip", 180), ("aws-incident-cloudtrail.zip", 1594)]
)
def test_the_real_sets_are_read_whole(shared_data: Path, archive: str, records: int) -> None:
    kept = 0
    with zipfile.ZipFile(shared_data / "cloud" / archive) as members:
        for name in members.namelist():
            if name.endswith(".json"):
                content = members.read(name)
                reading = read_either(content)
                whole = json.loads(content)
                whole = whole["Records"] if isinstance(whole, dict) else whole
                assert [json.loads(content[row["offset"] :][: row["length"]]) for row in reading.rows] == whole
                assert not reading.rejects
                assert all(row["time"] for row in reading.rows)
                kept += len(reading.rows)
    assert kept == records


@given(
    st.binary(max_size=200)
    | st.tuples(st.integers(0, len(TEXT)), st.binary(max_size=4), st.integers(0, 40)).map(
        lambda cut: TEXT.encode()[: cut[0]] + cut[1] + TEXT.encode()[cut[0] + cut[2] :]
    )
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_accounted_for(content: bytes) -> None:
    for spec in (CLOUDTRAIL_LINES, CLOUDTRAIL_DOCUMENTS):
        assert 0 <= spec.recognise(content) <= 100
        read(spec, content, limits=SMALL)
        read(spec, b'{"Records":[' + content + b"]}", limits=SMALL)


def test_filled_columns_of_an_error() -> None:
    row = filled(
        read_either(json.dumps({**EVENT, "errorCode": "AccessDenied", "responseElements": None}).encode()).rows[0]
    )
    assert row["errorCode"] == "AccessDenied"
    assert "responseElements" not in row
