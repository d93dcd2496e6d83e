"""Requests in S3 server access logs."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from record_reading import SMALL, filled, read

from casemate.evidence.readers.s3_access import S3_ACCESS_READER

LINE = (
    b"0a1b weights [06/Feb/2024:02:00:38 +0200] 192.0.2.3 arn:aws:sts::1:assumed-role/r/s 3E57 REST.GET.OBJECT "
    b'run%201/model.pt "GET /run%201/model.pt HTTP/1.1" 206 - 113 9000 7 6 "-" "cli/2 \\"x" y" - s9lz= SigV4 '
    b"TLS_AES AuthHeader weights.s3.amazonaws.com TLSv1.3 - Yes new-field\n"
)


def test_a_request() -> None:
    row = filled(read(S3_ACCESS_READER, LINE).rows[0])
    assert row["time"] == datetime(2024, 2, 6, 0, 0, 38, tzinfo=UTC)
    assert (row["bucket"], row["key"], row["operation"]) == ("weights", "run%201/model.pt", "REST.GET.OBJECT")
    assert (row["http_status"], row["bytes_sent"], row["remote_ip"]) == ("206", "113", "192.0.2.3")
    assert (row["user_agent"], row["tls_version"], row["acl_required"]) == ('cli/2 \\"x" y', "TLSv1.3", "Yes")
    assert row["rest"] == '{"field_26":"new-field"}'
    assert "error_code" not in row
    assert "referer" not in row


def test_lines_of_other_forms_are_rejected() -> None:
    reading = read(S3_ACCESS_READER, LINE + b"something else\n\n" + LINE)
    assert (len(reading.rows), reading.rejects[0].record, reading.tally.structure) == (2, 2, 1)


def test_only_such_logs_are_recognised() -> None:
    assert S3_ACCESS_READER.recognise(LINE * 2) >= 90
    assert S3_ACCESS_READER.recognise(b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 1\n') == 0


@given(
    st.lists(st.binary(max_size=10) | st.sampled_from(LINE.split(b" ")), max_size=40).map(b" ".join)
    | st.tuples(st.integers(0, len(LINE)), st.binary(max_size=4)).map(
        lambda cut: LINE[: cut[0]] + cut[1] + LINE[cut[0] :]
    )
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_accounted_for(content: bytes) -> None:
    assert 0 <= S3_ACCESS_READER.recognise(content) <= 100
    read(S3_ACCESS_READER, content, limits=SMALL)
