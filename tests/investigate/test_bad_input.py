"""Whatever is handed in: a clear line, an exit code that means something, and nothing lost."""

from __future__ import annotations

import ctypes
import datetime as dt
import gzip
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from whole_run import Outcome, assert_sound, command, finish, rows_of, start

from casemate.case import Case
from casemate.demo.generate import Demo
from casemate.evidence.custody import CustodyLog

RULES = """
title: A word that only one line has
id: 5c0f9c53-5f9e-4c59-8c2d-6f3a2ce3f001
logsource:
  product: linux
  service: sshd
detection:
  keywords: ['Accepted password']
  condition: keywords
level: medium
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "word.yml").write_text(RULES)
    return folder


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASEMATE_HOME", str(home))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def investigated(tmp_path: Path, folder: Path, home: Path) -> Callable[..., tuple[Path, Outcome]]:
    """Investigates what lies in `folder` (or what is named) and checks what must hold of every case."""

    def run(*named: str | Path, settings: str = "", code: int = 0) -> tuple[Path, Outcome]:
        path = tmp_path / "case"
        if settings:
            assert command("init", path).code == 0
            (path / "case.toml").write_text(settings)
        done = command("investigate", *(named or [folder]), "--case", path, "--rules", home / "word.yml", "--json")
        assert done.code == code, done
        assert "Traceback" not in done.err
        if code == 0:
            summary = json.loads(done.out)["evidence"]
            assert summary["records"] == summary["kept"] + summary["rejected"]
            assert_sound(path)
        return path, done

    return run


def sshd(text: str, time: str = "2026-05-04T05:00:00.000+00:00") -> str:
    return f"{time} bastion01 sshd[4711]: {text}\n"


def accepted(source: str = "192.0.2.9", time: str = "2026-05-04T05:00:00.000+00:00") -> str:
    return sshd(f"Accepted password for anna from {source} port 40000 ssh2", time)


def windows(time: str, **data: str) -> dict[str, Any]:
    """An event as Winlogbeat writes it."""
    return {
        "@timestamp": time,
        "winlog": {
            "channel": "Security",
            "provider_name": "Microsoft-Windows-Security-Auditing",
            "event_id": "4625",
            "record_id": 7,
            "computer_name": "dc01.lab.example",
            "event_data": {"TargetUserName": "anna", "IpAddress": "192.0.2.7", "LogonType": "3", **data},
        },
    }


ZEEK = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\n"
    "1777870800.000000\tC1\t192.0.2.1\t1\t10.0.0.1\t22\ttcp\tssh\n"
)


def only(path: Path, table: str) -> dict[str, Any]:
    (row,) = rows_of(path, table)
    return row


def evtx_file(shared_data: Path) -> bytes:
    """The smallest real EVTX file."""
    found: list[tuple[int, Path, str]] = []
    for archive in sorted((shared_data / "evtx").glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            found += [
                (item.file_size, archive, item.filename)
                for item in opened.infolist()
                if item.filename.endswith(".evtx") and item.file_size >= 69_632
            ]
    _, archive, name = min(found)
    with zipfile.ZipFile(archive) as opened:
        return opened.read(name)


# damaged containers and files


def test_a_truncated_gz_gives_what_came_out_and_says_so(folder: Path, investigated) -> None:
    lines = "".join(accepted(f"10.0.{number // 250}.{number % 250}") for number in range(5_000)).encode()
    packed = gzip.compress(lines, 1)
    (folder / "auth.log.gz").write_bytes(packed[: len(packed) // 2])
    path, done = investigated()
    kept = sum(row["kept"] for row in rows_of(path, "evidence"))
    assert 1_000 < kept < 5_000
    assert json.loads(done.out)["findings"] > 0
    shown = command("investigate", folder, "--case", path)
    assert shown.code == 0
    assert b"auth.log.gz" not in shown.out or b"Traceback" not in shown.out
    notes = [note for row in rows_of(path, "evidence") for note in row["notes"]]
    assert any("truncated" in note or "ends" in note or "cut" in note for note in notes), notes


def test_a_truncated_evtx_says_what_is_missing(folder: Path, investigated, shared_data: Path) -> None:
    content = evtx_file(shared_data)
    (folder / "cut.evtx").write_bytes(content[: 4_096 + 5_000])
    (folder / "headless.evtx").write_bytes(content[:3_000])
    (folder / "whole.evtx").write_bytes(content)
    path, _ = investigated()
    rows = {row["bytes"]: row for row in rows_of(path, "evidence")}
    whole, cut = rows[len(content)], rows[9_096]
    assert whole["kept"] > 0
    assert cut["records"] < whole["records"]
    assert cut["notes"]
    assert rows[3_000]["notes"]


def test_binary_garbage_is_kept_and_said(folder: Path, investigated) -> None:
    garbage = os.urandom(300_000)
    (folder / "core.bin").write_bytes(garbage)
    (folder / "looks.evtx").write_bytes(b"ElfFile\0" + garbage[:9_000])
    (folder / "looks.gz").write_bytes(b"\x1f\x8b\x08\x00" + garbage[:9_000])
    (folder / "looks.zip").write_bytes(b"PK\x03\x04" + garbage[:9_000])
    (folder / "looks.zst").write_bytes(b"\x28\xb5\x2f\xfd" + garbage[:9_000])
    (folder / "looks.json").write_bytes(b'{"a":1,' + garbage[:9_000])
    path, _ = investigated()
    row = next(row for row in rows_of(path, "evidence") if row["bytes"] == 300_000)
    assert row["notes"]
    with Case.open(path) as case, case.source(row["evidence"]).open() as stream:
        assert stream.read() == garbage


def test_empty_files_and_folders(folder: Path, investigated) -> None:
    (folder / "empty.log").touch()
    (folder / "blank.log").write_text("\n\n\n")
    (folder / "nothing").mkdir()
    path, _ = investigated()
    assert sum(row["records"] for row in rows_of(path, "evidence")) == 0
    shown = command("show", "summary", "--case", path)
    assert (shown.code, shown.err) == (0, "")


# lines


def test_overlong_lines_are_rejected_with_their_place(folder: Path, investigated) -> None:
    (folder / "auth.log").write_text(accepted() + "x" * 5_000 + "\n" + accepted())
    (folder / "events.ndjson").write_text(
        "".join(json.dumps(windows("2026-05-04T05:00:00Z", Pad="y" * size)) + "\n" for size in (1, 5_000, 2))
    )
    path, _ = investigated(settings="name = 'strict'\n[limits]\nline_bytes = 2000\n")
    assert [row["rejected"] for row in rows_of(path, "evidence")] == [1, 1]
    assert sorted((row["record"], row["length"] > 5_000 - 1) for row in rows_of(path, "rejects")) == [(2, True)] * 2
    for row in rows_of(path, "rejects"):
        raw = command("record", f"{row['evidence']}:{row['record']}", "--case", path, "--raw")
        assert (raw.code, len(raw.out)) == (0, row["length"])


def test_a_line_over_the_limit_we_ship_with(folder: Path, investigated) -> None:
    with (folder / "events.ndjson").open("w") as file:
        file.write(json.dumps(windows("2026-05-04T05:00:00Z")) + "\n")
        file.write(json.dumps(windows("2026-05-04T05:00:01Z", Pad="z" * 17 * 1024 * 1024)) + "\n")
        file.write(json.dumps(windows("2026-05-04T05:00:02Z")) + "\n")
    path, _ = investigated()
    row = only(path, "evidence")
    assert (row["records"], row["kept"], row["rejected"]) == (3, 2, 1)


def test_nul_bytes_cost_at_most_their_record(folder: Path, investigated) -> None:
    events = [windows("2026-05-04T05:00:00Z", TargetUserName="a\0b"), windows("2026-05-04T05:00:01Z")]
    (folder / "auth.log").write_bytes(accepted().encode() + b"\0\0\0\n" + accepted().encode().replace(b"nn", b"n\0n"))
    (folder / "events.ndjson").write_bytes("\n".join(map(json.dumps, events)).encode() + b"\n\0{}\n")
    (folder / "conn.log").write_bytes(
        ZEEK.encode() + b"1777870800.000000\tCa\0\t192.0.2.1\t1\t10.0.0.1\t22\ttcp\tssh\n"
    )
    path, _ = investigated()
    counts = {row["format"]: (row["records"], row["kept"]) for row in rows_of(path, "evidence")}
    assert {form: records for form, (records, _) in counts.items()} == {
        "syslog": 3,
        "windows-json": 3,
        "zeek_tsv": 2,
    }
    assert all(kept >= 1 for _, kept in counts.values())
    asked = command("query", "SELECT count(*) AS n FROM evidence", "--case", path, "--json")
    assert json.loads(asked.out) == {"n": 3}


def test_no_encoding_loses_a_line(folder: Path, investigated) -> None:
    """UTF-16 without a mark is told by its first two characters."""
    encodings = ("latin-1", "utf-16", "utf-8-sig", "cp1251", "utf-16-le", "utf-16-be")
    for number, encoding in enumerate(encodings):
        name = "Łukasz" if encoding.startswith("utf") else "Пётр" if encoding == "cp1251" else "Jürgen"
        text = accepted(f"192.0.2.{number}") + sshd(f"Invalid user {name} from 192.0.2.7 port 5") + accepted()
        (folder / f"{encoding}.log").write_bytes((text * 20).encode(encoding))
    path, _ = investigated()
    formats = {row["evidence"]: row for row in rows_of(path, "evidence")}
    for registration in rows_of(path, "registrations"):
        row = formats[registration["evidence"]]
        assert (row["format"], row["records"], row["kept"]) == ("syslog", 60, 60), registration
    assert len(rows_of(path, "findings")) >= 6 * 40
    users = {row["user"] for row in rows_of(path, "syslog", "user")}
    assert "Łukasz" in users


def test_text_logs_in_utf_16_are_read_as_in_utf_8(
    folder: Path, investigated, demo: Demo, tmp_path: Path, home: Path
) -> None:
    """PowerShell writes UTF-16 unless told otherwise; other programs leave the mark out."""
    logs = {
        "auth.log": demo.evidence / "bastion01" / "auth.log",
        "access.log": demo.evidence / "notebook01" / "nginx" / "access.log",
        "audit.log": demo.evidence / "notebook01" / "audit" / "audit.log",
        "kubernetes.ndjson": demo.evidence / "cluster" / "audit.ndjson",
        "windows.ndjson": sorted((demo.evidence / "winlogbeat").iterdir())[60],
        "trail.json": sorted((demo.evidence / "cloudtrail").iterdir())[60],
    }
    other = tmp_path / "plain"
    other.mkdir()
    for number, (name, path) in enumerate(logs.items()):
        text = "".join(path.read_text().splitlines(keepends=True)[:200])
        (folder / name).write_text(text, ("utf-16", "utf-16-le", "utf-16-be")[number % 3])
        (other / name).write_text(text)
    (folder / "conn.log").write_text(ZEEK, "utf-16")
    (other / "conn.log").write_text(ZEEK)
    path, _ = investigated()
    assert command("investigate", other, "--case", tmp_path / "utf8", "--rules", home / "word.yml", "--json").code == 0

    def read(case: Path) -> list[tuple[Any, ...]]:
        return sorted(
            (row["format"], row["records"], row["kept"], row["structure"]) for row in rows_of(case, "evidence")
        )

    assert read(path) == read(tmp_path / "utf8")
    assert "lines" not in {row[0] for row in read(path)}


# times and addresses


def test_time_zones_mixed_in_one_log_are_one_clock(folder: Path, investigated) -> None:
    written = ["2026-05-04T07:00:00.000+02:00", "2026-05-03T22:00:00.000-07:00", "2026-05-04T10:30:00.000+05:30"]
    (folder / "auth.log").write_text("".join(accepted(time=time) for time in [*written, "2026-05-04T05:00:00.000Z"]))
    zones = ["04/May/2026:07:00:00 +0200", "03/May/2026:22:00:00 -0700", "04/May/2026:05:00:00 +0000"]
    (folder / "access.log").write_text(
        "".join(f'192.0.2.7 - - [{zone}] "GET / HTTP/1.1" 200 5 "-" "curl/8"\n' for zone in zones)
    )
    path, _ = investigated()
    moment = dt.datetime(2026, 5, 4, 5, tzinfo=dt.UTC)
    assert {row["time"] for row in rows_of(path, "syslog", "time")} == {moment}
    assert {row["time"] for row in rows_of(path, "web_access", "time")} == {moment}


def test_impossible_years_are_kept_and_break_nothing(folder: Path, investigated) -> None:
    times = [
        "1601-01-01T00:00:00Z",
        "2500-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",
        "2026-05-04T05:00:00Z",
        "?",
    ]
    (folder / "events.ndjson").write_text("".join(json.dumps(windows(time)) + "\n" for time in times))
    stamps = ["-11644473600.000000", "16725225600.000000", "1e300", "99999999999999.0"]
    (folder / "conn.log").write_text(
        ZEEK + "".join(f"{stamp}\tC{stamp}\t192.0.2.1\t1\t10.0.0.1\t22\ttcp\tssh\n" for stamp in stamps)
    )
    (folder / "auth.log").write_text(
        "".join(accepted(time=f"{year}-05-04T05:00:00.000+00:00") for year in (1601, 2500))
    )
    path, _ = investigated()
    assert sum(row["records"] for row in rows_of(path, "evidence")) == 5 + 5 + 2
    for words in (("show", "summary"), ("show", "coverage"), ("show", "findings"), ("show", "attempts")):
        for more in ((), ("--json",)):
            shown = command(*words, "--case", path, *more)
            assert (shown.code, shown.err) == (0, ""), shown


def test_an_address_with_leading_zeros_is_nobody_elses_address(folder: Path, investigated) -> None:
    """035.249.253.232 is 29.249.253.232 to some parsers and 35.249.253.232 to others: it stays what was written."""
    odd = "035.249.253.232"
    (folder / "auth.log").write_text(
        "".join(sshd(f"Failed password for root from {odd} port {number} ssh2") for number in range(40))
    )
    (folder / "conn.log").write_text(ZEEK + f"1777870800.000000\tC2\t{odd}\t1\t10.0.0.1\t22\ttcp\tssh\n")
    path, done = investigated()
    assert b"29.249.253.232" not in done.out
    assert b'"35.249.253.232' not in done.out
    shown = command("query", "SELECT DISTINCT src_endpoint_ip AS ip FROM network_activity", "--case", path, "--json")
    assert shown.code in (0, 2)
    assert b'"29.' not in shown.out
    assert b'"35.' not in shown.out
    for table in ("findings", "attempts"):
        for row in rows_of(path, table, "source"):
            assert row["source"]["value"] not in ("29.249.253.232", "35.249.253.232")


# files


def test_duplicate_files_count_once(folder: Path, investigated) -> None:
    for name in ("a.log", "b.log", "deep/c.log"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(accepted())
    (folder / "d.log.gz").write_bytes(gzip.compress(accepted().encode(), mtime=0))
    with zipfile.ZipFile(folder / "e.zip", "w") as archive:
        archive.writestr("f.log", accepted())
    path, done = investigated()
    summary = json.loads(done.out)
    assert summary["evidence"]["records"] == 1
    assert len([row for row in rows_of(path, "findings") if row["detector"] == "sigma"]) == 1
    assert len([row for row in rows_of(path, "registrations") if "log" in (row["member_path"] or row["path"])]) >= 5


CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


def lose_the_right_to_read_everything() -> None:
    """Root reads every file unless the program is started without these capabilities."""
    library = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_what_may_not_be_read_is_said_and_costs_only_itself(folder: Path, home: Path, tmp_path: Path) -> None:
    (folder / "locked").mkdir()
    (folder / "locked" / "hidden.log").write_text(accepted())
    (folder / "secret.log").write_text(accepted("192.0.2.8"))
    (folder / "good.log").write_text(accepted())
    (folder / "locked").chmod(0)
    (folder / "secret.log").chmod(0)
    path = tmp_path / "case"
    words = ("investigate", folder, "--case", path, "--rules", home / "word.yml")
    done = finish(start(*words, home=home, before=lose_the_right_to_read_everything))
    (folder / "locked").chmod(0o700)
    if sum(row["records"] for row in rows_of(path, "evidence")) > 1:
        pytest.skip("nothing is unreadable here")
    assert done.code == 0
    assert_sound(path)
    assert len(done.err.splitlines()) == 2
    assert "secret.log: cannot be read: Permission denied" in done.err
    assert "locked: folder cannot be read: Permission denied" in done.err
    notes = json.loads(command("show", "summary", "--case", path, "--json").out)["coverage"]["notes"]
    assert len(notes) == 2


# what was asked for cannot be


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("investigate", "/no/such/file", "--case", "{case}"), "/no/such/file"),
        (("investigate", "{in}/*.nothing", "--case", "{case}"), "no file matches"),
        (("investigate", "{in}", "--case", "{in}/a.log"), "a.log"),
        (("investigate", "{in}", "--case", "{case}", "--own", "ten"), "own"),
        (("investigate", "{in}", "--case", "{case}", "--rules", "/no/rules"), "/no/rules"),
        (("investigate", "{in}", "--case", "{case}", "--engine", "abacus"), "abacus"),
        (("investigate", "{in}", "--case", "{case}", "--fail-on", "dire"), "dire"),
        (("show", "summary", "--case", "{case}/none"), "no case here"),
        (("custody", "verify", "--case", "{case}/none"), "no case here"),
        (("query", "SELECT 1", "--case", "{case}/none"), "no case here"),
        (("record", "ab:1", "--case", "{case}/none"), "no case here"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(words: tuple[str, ...], said: str, folder: Path, tmp_path: Path) -> None:
    (folder / "a.log").write_text(accepted())
    places = {"in": folder, "case": tmp_path / "case"}
    done = command(*(word.format(**places) for word in words))
    assert done.code == 2, done
    assert said in done.said
    assert done.said.startswith("casemate: ")
    assert not (tmp_path / "case").exists()


def test_a_wrong_setting_stops_the_run_in_one_line(folder: Path, investigated) -> None:
    (folder / "a.log").write_text(accepted())
    _, done = investigated(settings="[limits]\nline_byte = 3\n", code=2)
    assert "unknown limit 'line_byte'" in done.said


def test_a_bug_of_ours_is_4_and_shows_no_traceback(folder: Path, investigated, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.log").write_text(accepted())
    with monkeypatch.context() as broken:

        def wrong(*_: object, **__: object) -> None:
            raise RuntimeError("an\nodd \x1b[31mstate")

        broken.setattr("casemate.investigate.run.detect_behaviour", wrong)
        path, done = investigated(code=4)
    assert "a bug of ours (RuntimeError: an odd  [31mstate)" in done.said
    assert command("custody", "verify", "--case", path).code == 0
    investigated()


def test_the_answer_no_is_1(folder: Path, received: Path, home: Path) -> None:
    path = received
    (folder / "a.log").write_text(accepted())
    words = ("investigate", folder, "--case", path, "--rules", home / "word.yml", "--json")
    assert command(*words, "--fail-on", "medium").code == 1
    assert command(*words, "--fail-on", "critical").code == 0
    with (path / "custody.jsonl").open("ab") as log:
        log.write(b"{}\n")
    assert command("custody", "verify", "--case", path).code == 1


# a case folder made by someone else


@pytest.fixture(scope="module")
def made_once(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "a.log").write_text(accepted())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASEMATE_HOME", str(home))
        words = ("investigate", folder / "a.log", "--case", folder / "case", "--rules", home / "word.yml")
        assert command(*words).code == 0
    return folder / "case"


@pytest.fixture
def received(made_once: Path, tmp_path: Path) -> Path:
    """A case as it came from somebody else."""
    shutil.copytree(made_once, tmp_path / "received")
    return tmp_path / "received"


EVERY_COMMAND: tuple[tuple[str, ...], ...] = (
    ("show", "summary"),
    ("show", "findings", "--json"),
    ("query", "SELECT count(*) AS n FROM findings"),
    ("record", "{address}", "--raw"),
    ("investigate", "{in}"),
)


def ask_everything(path: Path, folder: Path, address: str) -> list[Outcome]:
    return [
        command(*(word.format(address=address, **{"in": folder}) for word in words), "--case", path)
        for words in EVERY_COMMAND
    ]


@pytest.mark.parametrize("name", ["case.toml", "custody.jsonl", "evidence", "tables"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_in_a_received_case_are_refused_by_every_command(
    name: str, kind: str, received: Path, folder: Path, tmp_path: Path
) -> None:
    address = f"{only(received, 'evidence')['evidence']}:1"
    outside = tmp_path / "outside"
    (received / name).rename(outside)
    if kind == "link":
        (received / name).symlink_to(outside)
    else:
        os.mkfifo(received / name)
    before = {path: path.stat().st_mtime_ns for path in [outside, *outside.rglob("*")]}
    for answer in ask_everything(received, folder, address):
        assert answer.code in (2, 3), answer
        assert answer.said.startswith("casemate: ")
    assert before == {path: path.stat().st_mtime_ns for path in [outside, *outside.rglob("*")]}
    assert command("custody", "verify", "--case", received).code in (1, 2, 3)


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("findings", "../outside.parquet"),
        ("findings", "tables/findings/../../../outside.parquet"),
        ("findings", "/etc/passwd"),
        ("../../x", "tables/findings/part-000099-000.parquet"),
    ],
)
def test_custody_lines_that_name_places_outside_are_refused(
    table: str, path: str, received: Path, folder: Path, tmp_path: Path
) -> None:
    """Whoever makes a case can make its hashes fit: the chain is sound and the content hostile."""
    address = f"{only(received, 'evidence')['evidence']}:1"
    with Case.open(received) as case:
        part = case.live_parts("findings")[0]
        number = case.store.state.commits + 1
    (tmp_path / "outside.parquet").write_bytes((received / part.path).read_bytes())
    log = CustodyLog(received / "custody.jsonl", lambda: dt.datetime(2026, 5, 5, tzinfo=dt.UTC))
    list(log.replay())
    entry = {"table": table, "path": path, "rows": 1, "bytes": part.bytes, "sha256": part.sha256, "schema": "x"}
    log.write(
        "commit", {"commit": number, "added": [entry], "removed": [], "blobs": [], "schemas": {"x": []}, "facts": {}}
    )
    log.close()
    for answer in ask_everything(received, folder, address):
        assert answer.code == 3, answer
        assert "custody.jsonl" in answer.said or path in answer.said


def test_databases_in_a_received_case_are_never_opened(received: Path, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "written.csv"
    hostile = tmp_path / "hostile.duckdb"
    with duckdb.connect(str(hostile)) as made:
        made.execute("CREATE MACRO count(x) AS 42")
        made.execute("CREATE VIEW findings AS SELECT * FROM read_text('/etc/passwd')")
    for name in ("case.duckdb", "derived.duckdb", ".duckdbrc", "tables/findings.duckdb"):
        shutil.copy(hostile, received / name)
    (received / ".duckdbrc").write_text(f"COPY (SELECT 1) TO '{target}';")
    asked = command("query", "SELECT count(*) AS n FROM findings", "--case", received, "--json")
    assert (asked.code, json.loads(asked.out)) == (0, {"n": len(rows_of(received, "findings"))})
    assert not target.exists()
    assert command("custody", "verify", "--case", received).code == 1
    shutil.copy(hostile, folder / "evidence.duckdb")
    assert command("investigate", folder, "--case", received, "--json").code == 0
    assert not target.exists()
    kept = [row for row in rows_of(received, "evidence") if row["format"] == "unknown_binary"]
    assert len(kept) == 1


def test_hostile_sql_in_names_stays_text(folder: Path, investigated) -> None:
    odd = "x'); COPY (SELECT 1) TO '/tmp/casemate-hostile'; --.log"
    (folder / "a").mkdir()
    (folder / "in'; DROP").mkdir()
    (folder / "in'; DROP" / odd.replace("/", "_")).write_text(accepted())
    path, _ = investigated()
    assert only(path, "evidence")["kept"] == 1
    assert command("show", "summary", "--case", path).code == 0


# the original bytes


def test_raw_prints_exactly_the_original_bytes(folder: Path, investigated, shared_data: Path) -> None:
    event = windows("2026-05-04T05:00:00Z", TargetUserName="ж\\u0041")
    trail = [
        {
            "eventVersion": "1.08",
            "eventTime": "2026-05-04T05:00:00Z",
            "eventSource": "s3.amazonaws.com",
            "eventName": "GetObject",
            "eventID": f"{number}",
        }
        for number in range(3)
    ]
    elements = [json.dumps(item, indent=number).encode() for number, item in enumerate(trail)]
    line = json.dumps(event, ensure_ascii=False).encode()
    evtx = evtx_file(shared_data)
    contents = {
        "events.ndjson": line + b"\r\n" + line.replace(b"05:00:00Z", b"05:00:01Z") + b"  \n",
        "trail.json": b'{"Records": [' + b" ,\n ".join(elements) + b"] }\n",
        "conn.log": ZEEK.encode(),
        "auth.log": (accepted() + sshd("Invalid user  \t x from 192.0.2.7 port 5")).encode(),
        "real.evtx": evtx,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    path, _ = investigated()
    names = {row["evidence"]: Path(row["path"]).name for row in rows_of(path, "registrations")}

    def raw(name: str, record: int) -> bytes:
        (evidence,) = [evidence for evidence, known in names.items() if known == name]
        done = command("record", f"{evidence[:20]}:{record}", "--case", path, "--raw")
        assert (done.code, done.err) == (0, "")
        return done.out

    assert raw("events.ndjson", 1).rstrip(b"\r") == line
    assert raw("events.ndjson", 2).rstrip() == line.replace(b"05:00:00Z", b"05:00:01Z")
    assert [raw("trail.json", number) for number in (1, 2, 3)] == elements
    assert raw("conn.log", 8) == ZEEK.splitlines()[7].encode()
    assert raw("auth.log", 2) == contents["auth.log"].splitlines()[1]
    numbers = sorted(
        row["record"]
        for row in rows_of(path, "windows_event", "evidence", "record")
        if names[row["evidence"]] == "real.evtx"
    )
    chosen = raw("real.evtx", numbers[0])
    assert chosen[:4] == b"**\0\0"
    assert int.from_bytes(chosen[4:8], "little") == len(chosen) == int.from_bytes(chosen[-4:], "little")
    assert chosen in evtx
    for name, content in contents.items():
        tables = {"trail.json": "cloudtrail", "conn.log": "zeek_conn", "auth.log": "syslog"}
        for row in rows_of(path, tables.get(name, "windows_event"), "evidence", "record", "offset", "length")[:50]:
            if names[row["evidence"]] == name:
                assert raw(name, row["record"]) == content[row["offset"] : row["offset"] + row["length"]]
                break


def test_a_report_that_nobody_reads_to_its_end_ends_quietly_and_not_as_done(received: Path, home: Path) -> None:
    child = start("show", "findings", "--case", received, "--json", home=home)
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = io.BytesIO()
    child.wait(60)
    assert child.stderr is not None
    assert (child.returncode, child.stderr.read()) == (141, b"")
