"""Seals: a signed head of the custody log shows lines cut from its end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from casemate.case import Case
from casemate.cli import _run
from casemate.errors import BadInput
from casemate.evidence.seal import make_key, read_private_key, read_public_key, read_seal
from casemate.evidence.verify import CUT_LINES, verify


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Case.create(tmp_path / "case") as case:
        for number in range(4):
            case.log("note", {"about": "test", "number": number})
    return tmp_path / "case"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "seal.key")
    return tmp_path / "seal.key"


def seal(root: Path, key: Path, *more: str) -> None:
    assert _run(["custody", "seal", "--case", str(root), "--key", str(key), *more], debug=False) == 0


def public(key: Path):
    return read_public_key(Path(f"{key}.pub"))


def cut(root: Path, lines: int) -> None:
    """What verification without a seal cannot see."""
    log = root / "custody.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-lines]))


def test_a_sealed_case_verifies_with_the_public_key(root: Path, key: Path) -> None:
    seal(root, key)
    found = verify(root, trusted=[public(key)])
    assert found.holds, found.problems
    assert any("lines 1 to 5 are as the key" in note for note in found.notes)
    assert CUT_LINES not in found.notes


def test_without_the_public_key_it_is_said_that_nobody_vouches(root: Path, key: Path) -> None:
    seal(root, key)
    found = verify(root)
    assert found.holds
    assert CUT_LINES in found.notes
    assert any("--public-key" in note for note in found.notes)


@pytest.mark.parametrize(("lines", "told"), [(2, "1 line cut"), (4, "3 lines cut")])
def test_lines_cut_from_the_end_are_found(root: Path, key: Path, lines: int, told: str) -> None:
    seal(root, key)
    cut(root, lines)
    found = verify(root, trusted=[public(key)])
    assert any(told in problem.what for problem in found.problems)


def test_a_copy_kept_elsewhere_shows_lines_cut_together_with_the_seal(root: Path, key: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    seal(root, key, "--out", str(copy))
    cut(root, 3)
    (kept,) = (root / "seals").iterdir()
    kept.unlink()
    assert not verify(root, trusted=[public(key)]).holds  # no seal by the key
    found = verify(root, trusted=[public(key)], seals=[read_seal(copy.read_bytes(), "copy")])
    assert any("cut from its end" in problem.what for problem in found.problems)


def test_a_log_written_anew_does_not_fit_its_seal(root: Path, key: Path, tmp_path: Path) -> None:
    seal(root, key)
    with Case.create(tmp_path / "other") as other:
        for number in range(9):
            other.log("note", {"number": number})
    (root / "custody.jsonl").write_bytes((tmp_path / "other" / "custody.jsonl").read_bytes())
    assert any("another case" in problem.what for problem in verify(root, trusted=[public(key)]).problems)


def test_a_seal_of_another_key_is_not_enough(root: Path, key: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "forger.key")
    seal(root, tmp_path / "forger.key")
    found = verify(root, trusted=[public(key)])
    assert [problem.what for problem in found.problems] == ["no seal by the given key"]


@pytest.mark.parametrize("change", [(b'\\"lines\\":5', b'\\"lines\\":4'), (b"signature", b"signatur"), (b"{", b"[")])
def test_a_changed_seal_is_found(root: Path, key: Path, change: tuple[bytes, bytes]) -> None:
    seal(root, key)
    (kept,) = (root / "seals").iterdir()
    before = kept.read_bytes()
    kept.write_bytes(before.replace(*change))
    assert kept.read_bytes() != before
    assert not verify(root).holds


def test_odd_things_among_the_seals_are_found(root: Path, key: Path) -> None:
    seal(root, key)
    (root / "seals" / "5-0123456789abcdef.json").symlink_to("/etc/passwd")
    (root / "seals" / "notes.txt").write_text("hello")
    wrong = {problem.where for problem in verify(root).problems}
    assert wrong >= {"seals/5-0123456789abcdef.json", "seals/notes.txt"}


def test_keys_are_kept_from_others_and_never_overwritten(key: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(BadInput, match="there already"):
        make_key(key)
    with pytest.raises(BadInput, match="not a private key"):
        read_private_key(Path(f"{key}.pub"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_public_key(tmp_path / "nowhere")


def test_the_case_goes_on_after_a_seal(root: Path, key: Path) -> None:
    seal(root, key)
    with Case.open(root, write=True) as case:
        case.log("note", {"about": "later"})
    seal(root, key)
    found = verify(root, trusted=[public(key)])
    assert found.holds
    assert any("lines 1 to 7" in note for note in found.notes)
