"""A packed case opens elsewhere as it was; anything else in an archive is refused and leaves nothing."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from ingest_case import canonical, opened, take

from casemate.case import Case
from casemate.cli import _run
from casemate.errors import BadInput, CasemateError, LimitReached
from casemate.evidence.packing import pack, unpack
from casemate.evidence.verify import verify
from casemate.limits import Limits

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    log = tmp_path / "logs" / "app.log"
    log.parent.mkdir()
    log.write_text("".join(f"line {number}\n" for number in range(300)))
    with opened(tmp_path / "case") as case:
        take(case, log)
        log.write_text(log.read_text() + "more\n")
        take(case, log)
    return tmp_path / "case"


@pytest.fixture
def archive(root: Path, tmp_path: Path) -> Path:
    pack(root, tmp_path / "case.tar.zst")
    return tmp_path / "case.tar.zst"


def members(archive: Path) -> list[Member]:
    data = zstandard.ZstdDecompressor().stream_reader(archive.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(item, tar.extractfile(item).read()) for item in tar]  # type: ignore[union-attr]


def write(archive: Path, items: list[Member], tail: bytes = b"") -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for item, content in items:
            item.size = len(content) if item.isreg() else 0
            tar.addfile(item, io.BytesIO(content))
        end = tar.offset  # closing pads to whole tapes
    archive.write_bytes(zstandard.ZstdCompressor().compress(out.getvalue()[:end] + tail))


def test_a_packed_case_opens_as_it_was(root: Path, archive: Path, tmp_path: Path) -> None:
    found = unpack(archive, tmp_path / "other" / "case")
    assert verify(tmp_path / "other" / "case").holds
    with Case.open(root) as before, Case.open(tmp_path / "other" / "case") as after:
        assert canonical(after) == canonical(before)
        assert after.blobs == before.blobs
        assert (after.path / "case.toml").read_bytes() == (before.path / "case.toml").read_bytes()
    assert found.files == len(members(archive))
    with Case.open(tmp_path / "other" / "case", write=True) as case:
        case.log("note", {"about": "goes on"})


def test_the_same_case_gives_the_same_archive_and_tar_reads_it(root: Path, archive: Path, tmp_path: Path) -> None:
    pack(root, tmp_path / "again.tar.zst")
    assert archive.read_bytes() == (tmp_path / "again.tar.zst").read_bytes()
    assert [item.name for item, _ in members(archive)][:2] == ["custody.jsonl", "case.toml"]


def add(name: str, **fields: object) -> Callable[[list[Member]], list[Member]]:
    def change(items: list[Member]) -> list[Member]:
        item = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(item, field, value)
        return [*items, (item, b"x")]

    return change


def replaced(name: str, old: bytes, new: bytes) -> Callable[[list[Member]], list[Member]]:
    def change(items: list[Member]) -> list[Member]:
        return [(item, body.replace(old, new) if item.name.startswith(name) else body) for item, body in items]

    return change


HOSTILE: dict[str, Callable[[list[Member]], list[Member]]] = {
    "outside": add("../evil"),
    "absolute": add("/tmp/evil"),
    "link": add("evidence/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": add("evidence/link", type=tarfile.LNKTYPE, linkname="custody.jsonl"),
    "device": add("evidence/null", type=tarfile.CHRTYPE),
    "pipe": add("evidence/pipe", type=tarfile.FIFOTYPE),
    "folder": add("evidence/folder", type=tarfile.DIRTYPE),
    "unnamed": add("evidence/" + "0" * 64 + ".zst"),
    "script": add("run.sh", mode=0o755),
    "doubled": lambda items: [*items, items[-1]],
    "lacking": lambda items: items[:-1],
    "no log": lambda items: items[1:],
    "changed log": replaced("custody", b'"kept":', b'"kEpt":'),
    "changed blob": lambda items: [(i, b[:-1] + b"\0" if i.name.startswith("evidence/") else b) for i, b in items],
    "longer part": lambda items: [(i, b + b"\0" if i.name.startswith("tables/") else b) for i, b in items],
    "changed manifest": replaced("manifest", b"lines", b"linez"),
    "long settings": lambda items: [(i, b"#" * 2_000_000 if i.name == "case.toml" else b) for i, b in items],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused_and_leaves_nothing(archive: Path, tmp_path: Path, name: str) -> None:
    items = members(archive)
    for item, _ in items:  # as pack writes them
        item.mode, item.mtime, item.uname, item.gname = 0o644, 0, "", ""
    write(archive, HOSTILE[name](items), bytes(1024))
    with pytest.raises(BadInput):
        unpack(archive, tmp_path / "out" / "case")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_the_rewritten_archive_itself_would_be_taken(archive: Path, tmp_path: Path) -> None:
    items = members(archive)
    write(archive, items, bytes(1024))
    unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 10, 600, -30])
def test_an_archive_that_breaks_off_is_refused(archive: Path, tmp_path: Path, keep: int) -> None:
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(BadInput):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bytes_after_the_end_are_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes() + b"more")
    with pytest.raises(BadInput, match="after its end"):
        unpack(archive, tmp_path / "out")


def test_limits_hold(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(LimitReached):
        unpack(archive, tmp_path / "out", Limits(archive_bytes=3_000))
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_never_overwritten(root: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there already"):
        pack(root, archive)
    with pytest.raises(BadInput, match="there already"):
        unpack(archive, root)


def test_a_damaged_case_is_not_packed(root: Path, tmp_path: Path) -> None:
    blob = next((root / "evidence").iterdir())
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(CasemateError, match="custody log"):
        pack(root, tmp_path / "out.tar.zst")
    assert not list(tmp_path.glob("out*"))


def test_seals_come_along(root: Path, tmp_path: Path) -> None:
    key = tmp_path / "seal.key"
    assert _run(["custody", "seal", "--case", str(root), "--key", str(key), "--make-key"], debug=False) == 0
    pack(root, tmp_path / "sealed.tar.zst")
    assert _run(["case", "unpack", str(tmp_path / "sealed.tar.zst"), str(tmp_path / "there")], debug=False) == 0
    words = ["custody", "verify", "--case", str(tmp_path / "there"), "--public-key", f"{key}.pub"]
    assert _run(words, debug=False) == 0
