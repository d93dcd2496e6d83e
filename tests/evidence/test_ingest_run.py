"""From paths to committed tables: nothing is lost, nothing counts twice, everything is said."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from ingest_case import canonical, evidence_of, opened, rows_of, take, texts

from casemate.errors import BadInput
from casemate.evidence.ingest import Progress
from casemate.evidence.readers import READERS
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.text import LINES, LINES_READER
from casemate.limits import Limits


@pytest.fixture
def case_path(tmp_path: Path) -> Path:
    return tmp_path / "case"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_folders_files_and_patterns_are_taken_once_each(folder: Path, case_path: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "1.log").write_text("one\n")
    (folder / "2.log").write_text("two\n")
    (folder / "odd[1].log").write_text("three\n")
    with opened(case_path) as case:
        report = take(case, folder, folder / "2.log", str(folder / "**" / "*.log"), folder / "odd[1].log")
        assert (report.files, report.records) == (3, 3)
        assert texts(case) == ["one", "three", "two"]
        with pytest.raises(BadInput, match="no file matches"):
            take(case, str(folder / "*.nothing"))
        with pytest.raises(BadInput, match="no such file"):
            take(case, folder / "missing")


def test_what_is_not_taken_is_said_and_the_run_goes_on(folder: Path, case_path: Path) -> None:
    (folder / "good.log").write_text("good\n")
    (folder / "link.log").symlink_to("good.log")
    (folder / "nowhere").symlink_to("/does/not/exist")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(folder)
        listening.bind("socket")
    with opened(case_path) as case:
        report = take(case, folder)
        assert texts(case) == ["good"]
    said = {Path(problem.where).name: problem.what for problem in report.problems}
    assert said == {
        "link.log": "symbolic link; not followed",
        "nowhere": "symbolic link; not followed",
        "up": "symbolic link; not followed",
        "pipe": "is a named pipe; not read",
        "socket": "is a socket; not read",
    }


@pytest.mark.parametrize("pattern", ["*", "**", "**/*.log", "*/*", "sub*/../*.log"])
def test_links_that_a_pattern_matches_or_leads_through_are_not_followed(
    folder: Path, case_path: Path, tmp_path: Path, pattern: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.log").write_text("secret\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "good.log").write_text("good\n")
    (folder / "a.log").write_text("good too\n")
    (folder / "link.log").symlink_to(tmp_path / "outside" / "secret.log")
    (folder / "sublink").symlink_to(tmp_path / "outside")
    with opened(case_path) as case:
        report = take(case, str(folder / pattern))
        assert "secret" not in texts(case)
    links = {Path(problem.where).name for problem in report.problems}
    assert links
    assert links <= {"link.log", "sublink"}
    assert {problem.what for problem in report.problems} == {"symbolic link; not followed"}


def test_links_in_a_circle_do_not_hold_a_pattern(folder: Path, case_path: Path) -> None:
    (folder / "a.log").write_text("good\n")
    for number in range(20):
        (folder / f"circle{number}").symlink_to(".")
    with opened(case_path) as case:
        assert len(take(case, str(folder / "**" / "*.log")).problems) == 20
        assert texts(case) == ["good"]


def test_a_link_in_the_fixed_part_of_a_pattern_was_chosen(folder: Path, case_path: Path, tmp_path: Path) -> None:
    (folder / "a.log").write_text("good\n")
    (tmp_path / "chosen").symlink_to(folder)
    with opened(case_path) as case:
        assert not take(case, str(tmp_path / "chosen" / "*.log")).problems
        assert texts(case) == ["good"]


def test_unreadable_folders_and_files_cost_only_themselves(folder: Path, case_path: Path) -> None:
    """Run without root's rights in a child, because root reads everything."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    (folder / "locked").mkdir(mode=0o700)
    (folder / "locked" / "x.log").write_text("hidden\n")
    (folder / "secret.log").write_text("hidden\n")
    (folder / "secret.log").chmod(0o600)
    (folder / "good.log").write_text("good\n")
    from casemate.evidence.blobs import FileSource
    from casemate.evidence.intake import Problem, walk

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        for parent in [folder, *folder.parents]:
            if parent.stat().st_uid == 0 and parent != Path("/tmp") and parent != Path("/"):
                parent.chmod(0o755)
        os.setuid(65_534)
        lines = []
        for item in walk([folder]):
            if isinstance(item, Problem):
                lines.append(f"{Path(item.where).name}: {item.what}")
                continue
            try:
                FileSource(item.path, item.size).open().close()
                lines.append(f"{item.path.name}: read")
            except BadInput as error:
                lines.append(f"{item.path.name}: {error.what}")
        os.write(writer, "\n".join(lines).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    said = os.read(reader, 65_536).decode().split("\n")
    os.close(reader)
    assert said == [
        "good.log: read",
        "locked: folder cannot be read: Permission denied; what is in it was not taken",
        "secret.log: cannot be read: Permission denied",
    ]


def test_the_case_itself_is_never_evidence(tmp_path: Path, case_path: Path) -> None:
    (tmp_path / "x.log").write_text("x\n")
    with opened(case_path) as case:
        report = take(case, tmp_path)
        assert texts(case) == ["x"]
        assert "is the case itself" in report.problems[0].what


def test_equal_content_is_evidence_once_and_registered_each_time(folder: Path, case_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (folder / name).write_text("same\n")
    with opened(case_path) as case:
        first = take(case, folder)
        assert (len(first.evidence), first.known) == (1, 1)
        again = take(case, folder)
        assert (len(again.evidence), again.known, again.records) == (0, 2, 0)
        assert texts(case) == ["same"]
        assert [Path(row["path"]).name for row in rows_of(case, "registrations")] == [
            "a.log",
            "a.log",
            "b.log",
            "b.log",
        ]


def test_a_member_and_a_file_of_equal_content_are_evidence_once(folder: Path, case_path: Path) -> None:
    import zipfile

    (folder / "a.log").write_text("same content\n")
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.writestr("inside.log", "same content\n")
    with opened(case_path) as case:
        report = take(case, folder)
        assert (len(report.evidence), report.known) == (2, 1)
        assert texts(case) == ["same content"]


def test_binary_nobody_knows_is_kept_and_said(folder: Path, case_path: Path) -> None:
    content = bytes(range(256)) * 100
    (folder / "blob").write_bytes(content)
    (folder / "empty").touch()
    with opened(case_path) as case:
        take(case, folder)
        row = evidence_of(case, "unknown_binary")
        assert (row["records"], row["bytes"], row["notes"]) == (0, 25_600, ["no reader yet"])
        assert case.source(row["evidence"]).open().read() == content
        assert evidence_of(case, "empty")["bytes"] == 0


def test_every_evidence_row_balances_and_counts_what_the_tables_hold(folder: Path, case_path: Path) -> None:
    (folder / "a.log").write_bytes(b"one\n\ntwo\n" + b"x" * 3_000 + b"\nlast")
    (folder / "b.log").write_bytes(b"nul \x00\nlatin \xe9\n")
    with opened(case_path) as case:
        report = take(case, folder, limits=Limits(line_bytes=1_000))
        rows = rows_of(case, "evidence")
        assert all(row["records"] == row["kept"] + row["rejected"] for row in rows)
        assert (report.records, report.kept, report.rejected) == (6, 5, 1)
        assert len(texts(case)) == 5
        (reject,) = rows_of(case, "rejects")
        assert (reject["record"], reject["offset"], reject["length"]) == (4, 9, 3_000)


def test_a_line_of_200_megabytes_is_rejected_in_bounded_memory(folder: Path, case_path: Path) -> None:
    import resource

    with (folder / "long.log").open("wb") as file:
        file.write(b"first\n")
        for _ in range(200):
            file.write(b"x" * 1_000_000)
        file.write(b"\nlast\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(case_path) as case:
        report = take(case, folder)
        assert texts(case) == ["first", "last"]
        assert (report.records, report.rejected) == (3, 1)
        assert rows_of(case, "rejects")[0]["length"] == 200_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def mixed(folder: Path, files: int = 30) -> None:
    for number in range(files):
        (folder / f"{number:02}.log").write_bytes(b"".join(b"%d line %d\n" % (number, line) for line in range(300)))


def test_workers_do_not_change_the_tables(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casemate.evidence.ingest.SMALLEST_TASK_BYTES", 10_000)
    mixed(folder)
    seen = []
    for workers in (1, 2):
        with opened(tmp_path / f"case{workers}") as case:
            report = take(case, folder, workers=workers)
            assert report.records == 9_000
            assert report.commits == 1 if workers == 1 else report.commits > 3
            seen.append(canonical(case))
    assert seen[0] == seen[1]


def test_large_and_small_evidence_give_the_same_rows_whatever_shares_a_part(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(folder, 6)
    with opened(tmp_path / "one") as case:
        take(case, folder)
        whole = canonical(case)
    monkeypatch.setattr("casemate.evidence.staging.LARGE_ROWS", 100)
    with opened(tmp_path / "two") as case:
        take(case, folder)
        assert len(case.live_parts("lines")) == 6
        assert canonical(case) == whole


def test_progress_ends_with_everything_done(folder: Path, case_path: Path) -> None:
    mixed(folder, 3)
    events: list[Progress] = []
    with opened(case_path) as case:
        report = take(case, folder, progress=events.append)
    assert events[-1].bytes_done == events[-1].bytes_total == report.bytes
    assert events[-1].records == 900
    assert [event.bytes_done for event in events] == sorted(event.bytes_done for event in events)


def test_evidence_may_stay_where_it_is(folder: Path, case_path: Path) -> None:
    mixed(folder, 2)
    with opened(case_path) as case:
        report = take(case, folder, in_place=True)
        assert report.records == 600
        assert [blob.path for blob in case.blobs.values()] == [None, None]
        assert case.source(report.evidence[0]).open().read() == (folder / "00.log").read_bytes()


def _failing(_source: Source, _context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    yield Rows(LINES.name, pa.RecordBatch.from_pydict({"record": [1], "offset": [0], "length": [1], "text": ["lost"]}))
    raise RuntimeError("met something odd")


def _miscounting(_source: Source, _context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    yield Rows(LINES.name, pa.RecordBatch.from_pydict({"record": [1], "offset": [0], "length": [1], "text": ["lost"]}))
    yield Reject(2, 1, 1, "bad")
    yield Tally(3)


def _foreign_column(_source: Source, _context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    yield Rows(LINES.name, pa.RecordBatch.from_pydict({"record": [1], "offset": [0], "length": [1], "other": ["lost"]}))
    yield Tally(1)


def _forever(source: Source, _context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    with source.open() as stream:
        while True:
            stream.seek(0)
            stream.read(10)
    yield Tally(0)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (_failing, "RuntimeError: met something odd"),
        (_miscounting, "counts 3 records but gave 1 kept and 1 rejected"),
        (_foreign_column, "column 'other'"),
        (_forever, "limit evidence_seconds reached"),
    ],
)
def test_a_reader_that_fails_costs_only_its_evidence(read, said: str, folder: Path, case_path: Path) -> None:
    (folder / "a.log").write_text("before\n")
    (folder / "b.log").write_text("ODD content\n")
    (folder / "c.log").write_text("after\n")
    odd = ReaderSpec("odd", 1, (LINES,), lambda head: 90 if head.startswith(b"ODD") else 0, read)
    with opened(case_path) as case:
        report = take(case, folder, readers=(odd, LINES_READER), limits=Limits(evidence_seconds=0.3))
        assert texts(case) == ["after", "before"]
        row = evidence_of(case, "odd")
        assert (row["records"], row["kept"], row["rejected"]) == (0, 0, 0)
        assert said in row["notes"][0]
        assert [Path(problem.where).name for problem in report.problems] == ["b.log"]
        assert said in report.problems[0].what
        assert case.source(row["evidence"]).open().read() == b"ODD content\n"
        assert "rejects" not in case.tables()


def test_evidence_over_the_size_limit_is_said(folder: Path, case_path: Path) -> None:
    (folder / "a.log").write_bytes(b"x\n" * 1_000)
    with opened(case_path) as case:
        report = take(case, folder, limits=Limits(evidence_bytes=1_000))
        assert report.evidence == []
        assert "limit evidence_bytes" in report.problems[0].what


def test_file_names_that_are_not_text_are_registered(folder: Path, case_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/odd\xff.log"))).write_text("x\n")
    with opened(case_path) as case:
        take(case, folder)
        assert rows_of(case, "registrations")[0]["path"].endswith("odd\\xff.log")


def test_readers_are_listed_with_names_of_their_own() -> None:
    names = [reader.format for reader in READERS]
    assert len(set(names)) == len(names)
    assert names[-1] == "lines"
    assert sys.getsizeof(READERS)
