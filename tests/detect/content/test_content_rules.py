"""What content rules owe: matches in what was said and sent, the records they stand in, every rule accounted for."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from packet_writing import START, Talk, capture, ethernet, pcap, udp

from casemate.case import Case
from casemate.demo.generate import SETTINGS
from casemate.detect.content import captures, compile_rules, read_rule_sources
from casemate.detect.content.captures import contents_of
from casemate.detect.content.contents import FILE, STREAM, Content
from casemate.detect.content.findings import findings, severity
from casemate.detect.content.http_bodies import MOST_UNPACKED, bodies
from casemate.detect.content.scan import RuleMatch, scan
from casemate.engine.duckdb import DuckDBEngine
from casemate.errors import BadInput, MissingExtra
from casemate.evidence.records import original
from casemate.explore.runs import last_run
from casemate.explore.tables import stored_tables
from casemate.intel.store import current, own_rules, pins
from casemate.intel.update import update
from casemate.investigate import contents as phase
from casemate.investigate.rerun import content_rules_of_run, rerun
from casemate.investigate.run import Options, RunReport, investigate

pytest.importorskip("yara_x", reason="YARA-X is not installed (casemate[yara])")

A, B = "10.9.0.1", "10.9.0.2"
SIGN = b"a-sign-nobody-else-writes"
RULES = """
rule sign : T1105 {
  meta: description = "A sign" severity = "high" confidence = "high" note = "AML.T0010"
  strings: $sign = "a-sign-nobody-else-writes"
  condition: $sign
}
rule begins { strings: $a = "begin" condition: $a at 0 and filesize < 2KB }
"""
BROKEN = """
rule fine { strings: $a = "zzzz-never" condition: $a }
rule wrong { condition: nothing_such }
"""


def compiled(folder: Path, **files: str):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yar").write_text(text)
    return compile_rules(read_rule_sources([folder]), "x")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory):
    return compiled(tmp_path_factory.mktemp("rules"), rules=RULES)


def held(rules, content: bytes) -> list[RuleMatch]:
    return list(scan(rules, contents_of(io.BytesIO(content)), {}))


def request(body: bytes, *headers: bytes) -> Talk:
    reply = b"HTTP/1.1 200 OK\r\n" + b"".join(one + b"\r\n" for one in headers) + b"\r\n" + body
    asked = b"GET /tool.bin HTTP/1.1\r\nHost: example.org\r\n\r\n"
    return Talk(A, 4000, B, 80, [(True, asked, 0), (False, reply, START + 10)], segment=100)


def test_a_pattern_split_over_segments_and_out_of_order_is_found_with_its_packets(rules) -> None:
    packets = Talk(A, 4000, B, 9000, [(True, b"x" * 95 + SIGN + b"y" * 300, START)], segment=100).packets()
    packets[3], packets[4] = packets[4], packets[3]
    (match,) = held(rules, pcap(packets))
    assert (match.rule, match.content.kind) == ("sign", STREAM)
    assert match.hits[0].offset == 95
    (found,) = findings("e", "x.pcap", [match], lambda _a, _b: ())
    assert found.records == (4, 5)  # both segments that hold it
    assert found.row["source"]["value"] == A
    assert found.row["target"] == {"kind": "address", "value": B, "service": "9000/tcp"}
    assert (found.row["severity"], found.row["confidence"]) == ("high", "high")
    assert found.row["techniques"] == ["AML.T0010", "T1105"]


def test_datagrams_are_looked_at(rules) -> None:
    frames = [(START, ethernet(udp(A, 4000, B, 9999, b"..." + SIGN)))]
    (match,) = held(rules, pcap(frames))
    assert match.content.talk is not None
    assert match.content.talk.service == "9999/udp"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(b"0" * 50 + SIGN), (b"Content-Encoding: gzip",)),
        (zlib.compress(b"0" * 50 + SIGN), (b"Content-Encoding: deflate",)),
        (zstandard.ZstdCompressor().compress(b"0" * 50 + SIGN), (b"Content-Encoding: zstd",)),
    ],
)
def test_packed_bodies_are_opened_and_told_once(rules, body: bytes, headers: tuple[bytes, ...]) -> None:
    sized = (*headers, b"Content-Length: %d" % len(body), b'Content-Disposition: attachment; filename="tool.bin"')
    half = len(body) // 2
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (half, body[:half], len(body) - half, body[half:])
    for talk in (request(body, *sized), request(chunks, *headers, b"Transfer-Encoding: chunked")):
        (match,) = [one for one in held(rules, capture([talk])) if one.content.kind == FILE]
        assert match.content.whole
        (found,) = findings("e", "x.pcap", [match], lambda _a, _b: ())
        assert found.row["source"]["value"] == B
        assert found.records
    assert match.hits[0].offset == 50


def test_a_plain_body_keeps_the_place_of_its_bytes_and_the_stream_is_not_told_again(rules) -> None:
    body = b"p" * 500 + SIGN + b"q" * 500
    matches = held(rules, capture([request(body, b"Content-Length: %d" % len(body))]))
    assert {match.content.kind for match in matches} == {STREAM, FILE}
    (found,) = findings("e", "x.pcap", matches, lambda _a, _b: ())
    assert json.loads(found.row["why"])["in"] == FILE
    assert len(found.records) <= 2


def test_long_streams_are_looked_at_in_windows_that_overlap(rules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "WINDOW", 1000)
    monkeypatch.setattr(captures, "OVERLAP", 100)
    said = b"z" * 990 + SIGN + b"z" * 4000 + SIGN
    matches = held(rules, pcap(Talk(A, 4000, B, 9000, [(True, said, START)], segment=100).packets()))
    assert {hit.offset for match in matches for hit in match.hits} == {990, 990 + len(SIGN) + 4000}
    assert not any(match.content.whole for match in matches)
    (found,) = findings("e", "x.pcap", matches, lambda _a, _b: ())
    assert json.loads(found.row["why"])["whole"] is False
    monkeypatch.setattr(captures, "WINDOW", 1 << 24)
    monkeypatch.setattr(captures, "MOST_HELD", 500)
    matches = held(rules, pcap(Talk(A, 4000, B, 9000, [(True, said, START)], segment=100).packets()))
    assert {hit.offset for match in matches for hit in match.hits} == {990, 990 + len(SIGN) + 4000}


def test_a_match_never_spans_what_was_not_captured(rules) -> None:
    packets = Talk(
        A, 4000, B, 9000, [(True, SIGN[:10] + b"-" * 90 + SIGN[10:] + b"-" * 100, START)], segment=10
    ).packets()
    holes = [packet for number, packet in enumerate(packets) if not 4 <= number < 13]
    assert held(rules, pcap(holes)) == []


def test_files_over_smb_are_put_together(tmp_path: Path, shared_data: Path) -> None:
    eicar = compiled(tmp_path, eicar='rule eicar { strings: $a = "EICAR-STANDARD" condition: $a }')
    for name in ("smb-eicar-file__input", "smb-eicar-file-segmentation-postheader__input"):
        content = (shared_data / f"pcap/smb-other/{name}.pcap").read_bytes()
        matches = list(scan(eicar, contents_of(io.BytesIO(content)), {}))
        (found,) = findings("e", "x", matches, lambda _a, _b: ())
        why = json.loads(found.row["why"])
        assert (why["in"], why["name"], why["bytes"]) == (FILE, "\\eicar", 68)


def test_every_rule_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    made = compiled(tmp_path, good=RULES, broken=BROKEN, reads='include "/etc/hostname"\nrule same { condition: true }')
    said = {(state.path, state.rule): (state.state, state.reason) for state in made.states}
    assert said["good.yar", "sign"] == ("ran", None)
    assert said["broken.yar", "fine"] == ("ran", None)
    assert said["broken.yar", "wrong"][0] == "not_compiled"
    assert "nothing_such" in (said["broken.yar", "wrong"][1] or "")
    assert any(state == "not_compiled" and "include" in (reason or "") for state, reason in said.values())
    with pytest.raises(BadInput):
        read_rule_sources([tmp_path / "inner"])
    with pytest.raises(BadInput):
        read_rule_sources([tmp_path / "absent"])


def test_severities_follow_what_the_authors_say() -> None:
    assert severity({"severity": "Critical"}) == "critical"
    assert [severity({"score": score}) for score in (90, 75, 60, 40)] == ["high", "high", "medium", "low"]
    assert severity({}) == "medium"


@given(st.binary(max_size=600))
def test_any_bytes_have_bodies_or_none(data: bytes) -> None:
    for stream in (
        data,
        b"HTTP/1.1 200 OK\r\n" + data,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data,
    ):
        for body in bodies(stream):
            assert 0 <= body.begin <= body.end <= len(stream)


def test_a_body_cannot_unpack_without_end() -> None:
    bomb = gzip.compress(bytes(MOST_UNPACKED * 3))
    (body,) = bodies(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    assert (len(body.data), body.cut) == (MOST_UNPACKED, True)


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=60)), max_size=6), st.integers(0, 30))
def test_damaged_captures_never_crash(said: list[tuple[bool, bytes]], cut: int) -> None:
    talks = [Talk(A, 4000, B, port, [(side, data, 0) for side, data in said]) for port in (80, 445)]
    content = capture(talks)
    for made in contents_of(io.BytesIO(content[: len(content) - cut])):
        assert isinstance(made, Content)
        assert made.data


# a whole run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A capture, a script, a log, and rules."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yar").write_text(RULES + BROKEN)
    (tmp_path / "lab.pcap").write_bytes(capture([request(SIGN, b"Content-Length: %d" % len(SIGN))]))
    (tmp_path / "shell.php").write_bytes(b"<?php\n// one\n// " + SIGN + b"\n?>\n")
    (tmp_path / "program.bin").write_bytes(bytes(range(256)) * 4 + SIGN)
    line = b'192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] "GET /' + SIGN + b' HTTP/1.1" 200 5\n'
    (tmp_path / "access.log").write_bytes(line * 5)
    return tmp_path


def run(folder: Path, compiled_rules: Path, *evidence: str, yara: tuple[Path, ...], name: str = "case") -> RunReport:
    path = folder / name
    opened = Case.open(path, write=True) if path.exists() else Case.create(path, SETTINGS)
    options = Options((own_rules(),), compiled_rules, yara=yara)
    with opened as case:
        given = [folder / one for one in evidence]
        return investigate(
            case, given, options, DuckDBEngine(), who="t", clock=lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        )


def told(folder: Path, table: str, name: str = "case") -> list[dict]:
    with Case.open(folder / name) as case:
        engine = DuckDBEngine()
        engine.use(stored_tables(case))
        return engine.batches(engine.read(table)).read_all().to_pylist()


def test_a_run_finds_content_in_captures_and_files_and_leads_to_the_records(folder: Path, compiled_rules: Path) -> None:
    yara = (folder / "rules",)
    evidence = ("lab.pcap", "shell.php", "program.bin", "access.log")
    run(folder, compiled_rules, *evidence, yara=yara)
    found = {
        row["target"]["value"].rpartition("/")[2]: row for row in told(folder, "findings") if row["detector"] == "yara"
    }
    assert set(found) == {A, "shell.php", "program.bin"}  # a log is for other rules
    members = {(row["finding"], row["evidence"], row["record"]) for row in told(folder, "finding_records")}
    script = [one for one in members if one[0] == found["shell.php"]["id"]]
    with Case.open(folder / "case") as case:
        assert original(case.store, script[0][1], script[0][2]).content == b"// " + SIGN
    states = {row["rule_id"]: row["state"] for row in told(folder, "rules") if row["log_source"] == "content/yara"}
    assert states["yara.own.yar.sign"] == "ran"
    assert states["yara.own.yar.wrong"] == "not_compiled"
    looks = told(folder, "content_looks")
    assert len(looks) == 3
    # once is enough, new evidence is looked at, and rules that are gone take their findings along
    run(folder, compiled_rules, *evidence, yara=yara)
    assert told(folder, "content_looks") == looks
    (folder / "more.bin").write_bytes(b"\x01\x02" + SIGN)
    run(folder, compiled_rules, "more.bin", yara=yara)
    assert len(told(folder, "content_looks")) == 4
    with Case.open(folder / "case") as case, Case.create(folder / "again", case.settings) as second:
        facts = last_run(case)
        assert facts is not None
        options = Options((own_rules(),), compiled_rules, yara=content_rules_of_run(facts))
        same = rerun(case, facts, second, options, DuckDBEngine(), clock=lambda: dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
        assert same.identical, [table.table for table in same.tables if not table.identical]
    run(folder, compiled_rules, yara=())
    assert not [row for row in told(folder, "findings") if row["detector"] == "yara"]
    assert not told(folder, "content_looks")


def test_without_the_engine_rules_are_told_not_to_have_run(
    folder: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase, "available", lambda: False)
    run(folder, compiled_rules, "lab.pcap", yara=(folder / "rules",))
    (row,) = [row for row in told(folder, "rules") if row["log_source"] == "content/yara"]
    assert row["state"] == "not_compiled"
    assert "casemate[yara]" in row["reason"]
    assert not told(folder, "content_looks")
    monkeypatch.undo()
    run(folder, compiled_rules, yara=(folder / "rules",))  # installed since: all is looked at
    assert len(told(folder, "content_looks")) == 1


def test_large_files_are_looked_at_to_a_limit_that_is_told(
    folder: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase, "MOST_BYTES", 100)
    run(folder, compiled_rules, "program.bin", yara=(folder / "rules",))
    (look,) = told(folder, "content_looks")
    assert look["notes"] == ["only its first 100 bytes were looked at"]
    assert not [row for row in told(folder, "findings") if row["detector"] == "yara"]


def test_rule_sets_are_installed_and_pinned_like_sigma_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.yar").write_text('rule dated { meta: date = "2025-03-04" condition: false }')
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    (outcome,) = update(["yara"], source=rules, now=now, root=tmp_path / "home")
    assert outcome.error is None
    installed = current("yara", tmp_path / "home")
    assert installed is not None
    assert (installed.dated, installed.counts) == ("2025-03-04", {"files": 1, "rules": 1})
    assert "yara" in {pin.name for pin in pins(tmp_path / "home")}
    assert [source.path for source in read_rule_sources([installed.path])] == ["a.yar"]
    packed = tmp_path / "forge.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("packages/core/x.yar", "rule other { condition: false }")
        archive.writestr("LICENSE", "text")
    (outcome,) = update([], source=packed, now=now, root=tmp_path / "home")
    assert outcome.name == "yara"
    assert outcome.new
    (outcome,) = update(["sigma"], source=packed, now=now, root=tmp_path / "home")
    assert "this is yara" in str(outcome.error)


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "yara_x", None)
    with pytest.raises(MissingExtra, match="casemate\\[yara\\]"):
        compile_rules([], "x")
