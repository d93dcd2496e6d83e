"""S3 server access logs -> table ``s3_access``.

One line is one request, fields separated by spaces, the time in brackets, three fields in quotes, ``-`` for
nothing (https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html).  Amazon adds fields at the end from time
to time; those we do not know go to ``rest`` as ``field_<n>``.  Quotes inside a quoted field are not escaped, so its end
is the quote before the next field that has the right form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from casemate.evidence.readers import timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_records import invalid_address
from casemate.evidence.readers.row_builder import RowBuilder
from casemate.evidence.readers.text_lines import LineCounts, text_blocks
from casemate.schema.native import NativeTable

FIELDS = (
    *("bucket_owner", "bucket", "time_text", "remote_ip", "requester", "request_id", "operation", "key"),
    *("request_uri", "http_status", "error_code", "bytes_sent", "object_size", "total_time", "turn_around_time"),
    *("referer", "user_agent", "version_id", "host_id", "signature_version", "cipher_suite"),
    *("authentication_type", "host_header", "tls_version", "access_point_arn", "acl_required"),
)
S3_ACCESS = NativeTable(
    "s3_access", tuple(name for name in FIELDS if name != "time_text"), "Requests in S3 server access logs."
)

_LINE = re.compile(
    r"(?P<bucket_owner>\S+) (?P<bucket>\S+) \[(?P<time_text>[^\]]{1,64})\] (?P<remote_ip>\S+) (?P<requester>.+?) "
    r"(?P<request_id>\S+) (?P<operation>(?:REST|WEBSITE|BATCH|SOAP|S3)\.[\w.]+) (?P<key>\S+) "
    r"(?:-|\"(?P<request_uri>[^\n]*?)\") (?P<http_status>\d{3}|-) (?P<error_code>\S+) (?P<bytes_sent>\d+|-) "
    r"(?P<object_size>\d+|-) (?P<total_time>\d+|-) (?P<turn_around_time>\d+|-) (?P<tail>.*)\Z",
    re.ASCII,
)
_TAIL = re.compile(r'(?:-|"(?P<referer>[^"]*)") (?:-|"(?P<user_agent>.*)")(?: (?P<rest>[^"]*))?\Z', re.ASCII)
_TIME = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_AFTER_AGENT = FIELDS[FIELDS.index("version_id") :]
LINE_CHARACTERS = 16 * 1024  # S3 takes keys of 1 KiB and headers of 8 KiB


def parse_line(text: str) -> dict[str, str | None] | None:
    """The fields of one line; None if it is none.  ``-`` is kept as recorded only inside quotes."""
    if len(text) > LINE_CHARACTERS:
        return None
    match = _LINE.match(text)
    tail = _TAIL.match(match["tail"]) if match else None
    if match is None or tail is None:
        return None
    values: dict[str, str | None] = {name: text for name, text in match.groupdict().items() if name != "tail"}
    values.update(referer=tail["referer"], user_agent=tail["user_agent"])
    for index, word in enumerate((tail["rest"] or "").split(" ") if tail["rest"] else ()):
        name = _AFTER_AGENT[index] if index < len(_AFTER_AGENT) else f"field_{len(FIELDS) + index - len(_AFTER_AGENT)}"
        values[name] = word
    return {name: None if text in ("-", "") else text for name, text in values.items()}


def read_time(text: str) -> timestamps.Reading:
    """``06/Feb/2019:00:00:38 +0000``."""
    match = _TIME.match(text)
    if match is None or match[2] not in _MONTHS:
        return None, ("time_unreadable",)
    moment = timestamps.civil(
        int(match[3]), _MONTHS.index(match[2]) + 1, int(match[1]), int(match[4]), int(match[5]), int(match[6])
    )
    if moment is None:
        return None, ("time_unreadable",)
    shift = (int(match[8]) * 60 + int(match[9])) * 60_000_000
    return timestamps.believed(moment - shift if match[7] == "+" else moment + shift)


def recognise(head: bytes) -> int:
    """95 if most lines are S3 requests."""
    lines = [line for line in head.split(b"\n")[:100] if line.strip()]
    if len(lines) > 1 and not head.endswith(b"\n"):
        lines.pop()
    good = sum(1 for line in lines if parse_line(line[:8192].decode("utf-8", "replace").rstrip("\r")))
    return 95 if lines and good >= 0.6 * len(lines) else 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """Every line that is not blank as one record."""
    rows = RowBuilder(S3_ACCESS)
    counts = LineCounts()
    for texts in text_blocks(source, context, counts):
        if isinstance(texts, Reject):
            yield texts
            continue
        for index, text, flags in texts.lines:
            values = parse_line(text)
            if values is None:
                yield Reject(*texts.place(index), "not a line of an S3 server access log")
                continue
            time_raw = values.pop("time_text")
            time, said = read_time(time_raw) if time_raw else (None, ("time_unreadable",))
            address = values.get("remote_ip")
            if address and invalid_address(address):
                flags = (*flags, "address_invalid")
            rows.add(*texts.place(index), time=time, time_raw=time_raw, flags=(*flags, *said), values=values)
            if rows.full:
                yield rows.take()
    if len(rows):
        yield rows.take()
    yield Tally(counts.records, counts.structure)


S3_ACCESS_READER = ReaderSpec("s3-access", 1, (S3_ACCESS,), recognise, read, continues=True)
