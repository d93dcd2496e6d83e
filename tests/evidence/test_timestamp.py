"""Timestamps of seals, by an authority made with openssl and asked over loopback."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.case import Case
from casemate.cli import _run
from casemate.errors import BadInput, CannotFinish
from casemate.evidence.edge import ask_authority, check_url
from casemate.evidence.seal import make_key
from casemate.evidence.timestamp import check, read_certificates, sentence, take
from casemate.settings import Settings, format_settings, parse_settings

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed: no authority to ask")

CONFIGURATION = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = Test root
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
[signer]
default_tsa = here
[here]
serial = ./serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:2
ess_cert_id_alg = sha256
"""


class Authority:
    """A root, a stamping key below it, and what `openssl ts` answers with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "ts.cnf").write_text(CONFIGURATION)
        (folder / "serial").write_text("01\n")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "ts.cnf")
        self.openssl("req", "-x509", *key, "-keyout", "root.key", "-out", "root.pem", "-days", "30",
                     "-extensions", "root")  # fmt: skip
        self.openssl("req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test stamps")
        self.openssl("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                     "-days", "30", "-extfile", "ts.cnf", "-extensions", "tsa", "-out", "tsa.pem")  # fmt: skip

    def openssl(self, *words: str) -> str:
        done = subprocess.run(
            [OPENSSL or "openssl", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self, request: bytes) -> bytes:
        (self.folder / "q.tsq").write_bytes(request)
        self.openssl("ts", "-reply", "-config", "ts.cnf", "-section", "here", "-queryfile", "q.tsq", "-out", "q.tsr",
                     "-signer", "tsa.pem", "-inkey", "tsa.key")  # fmt: skip
        return (self.folder / "q.tsr").read_bytes()

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "a")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger") / "b")


@pytest.fixture
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/broken":
                self.send_error(503)
                return
            kind = "text/html" if self.path == "/page" else "application/timestamp-reply"
            answers = {"/junk": b"junk", "/refused": bytes.fromhex("3005300302010230"), "/long": bytes(300_000)}
            content = answers.get(self.path) or request.getfixturevalue("authority").answer(asked)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Case.create(tmp_path / "case").close()
    make_key(tmp_path / "key")
    return tmp_path / "case"


def custody(root: Path, *words: str) -> int:
    return _run(["custody", *words, "--case", str(root)], debug=False)


def seal(root: Path, *words: str) -> int:
    return custody(root, "seal", "--key", str(root.parent / "key"), *words)


@needs_openssl
def test_a_stamped_seal_proves_by_when_the_lines_were_there(
    root: Path, url: str, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seal(root, "--timestamp", url, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["timestamp"]["url"] == url
    assert custody(root, "verify", "--authority-certificate", str(authority.root), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (stamp,) = found["timestamps"]
    assert stamp["proven"] is True
    assert stamp["lines"] == made["lines"]
    assert stamp["authority"] == "CN=Test stamps"
    assert stamp["accuracy_seconds"] == 2
    assert abs(dt.datetime.fromisoformat(stamp["time"]) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=2)
    assert any("proves that lines 1 to" in note for note in found["notes"])


@needs_openssl
def test_openssl_itself_agrees(root: Path, url: str, authority: Authority) -> None:
    assert seal(root, "--timestamp", url) == 0
    (kept,) = (root / "seals").glob("*.json")
    words = ("-in", f"{kept}.tsr", "-data", str(kept), "-CAfile", str(authority.root))
    assert "OK" in authority.openssl("ts", "-verify", *words)


@needs_openssl
def test_without_the_certificate_nobody_vouches(root: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert seal(root, "--timestamp", url) == 0
    assert custody(root, "verify") == 0
    assert "--authority-certificate" in capsys.readouterr().out


@needs_openssl
def test_another_authority_s_certificate_does_not_prove_it(
    root: Path, url: str, stranger: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seal(root, "--timestamp", url) == 0
    assert custody(root, "verify", "--authority-certificate", str(stranger.root)) == 1
    assert "not signed by the authority" in capsys.readouterr().out.replace("\n", " ")


@needs_openssl
def test_a_changed_seal_or_timestamp_is_found(root: Path, url: str, authority: Authority) -> None:
    assert seal(root, "--timestamp", url) == 0
    (stamp,) = (root / "seals").glob("*.tsr")
    content = bytearray(stamp.read_bytes())
    content[-5] ^= 1  # in the signature
    stamp.write_bytes(content)
    assert custody(root, "verify", "--authority-certificate", str(authority.root)) == 1
    stamp.write_bytes(authority.answer(_request(b"something else")))
    assert custody(root, "verify") == 1
    (kept,) = (root / "seals").glob("*.json")
    kept.unlink()
    assert custody(root, "verify") == 1


@needs_openssl
def test_a_copy_kept_elsewhere_brings_its_timestamp(
    root: Path, url: str, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.json"
    assert seal(root, "--timestamp", url, "--out", str(copy)) == 0
    shutil.rmtree(root / "seals")
    words = ("--seal", str(copy), "--authority-certificate", str(authority.root))
    capsys.readouterr()
    assert custody(root, "verify", *words, "--json") == 0
    assert [stamp["proven"] for stamp in json.loads(capsys.readouterr().out)["timestamps"]] == [True]


@needs_openssl
def test_a_packed_case_brings_its_timestamps(root: Path, url: str, authority: Authority, tmp_path: Path) -> None:
    assert seal(root, "--timestamp", url) == 0
    packed, there = tmp_path / "case.tar.zst", tmp_path / "there"
    assert _run(["case", "pack", "--case", str(root), "--out", str(packed)], debug=False) == 0
    assert _run(["case", "unpack", str(packed), str(there)], debug=False) == 0
    assert custody(there, "verify", "--authority-certificate", str(authority.root)) == 0


@needs_openssl
def test_the_authority_of_the_case_is_asked(root: Path, url: str) -> None:
    settings = Settings(timestamp_url=url)
    assert parse_settings({"seal": {"timestamp_url": url}}).timestamp_url == url
    (root / "case.toml").write_text(format_settings(settings))
    assert seal(root) == 0
    assert len(list((root / "seals").glob("*.tsr"))) == 1


@pytest.mark.parametrize("path", ["/broken", "/junk", "/refused", "/long", "/page"])
def test_an_authority_that_fails_leaves_a_seal_without(
    root: Path, url: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if path == "/page" and OPENSSL is None:
        pytest.skip("openssl is not installed")
    assert seal(root, "--timestamp", url + path) == 3
    assert "sealed without a timestamp" in capsys.readouterr().err
    (root / "case.toml").write_text(format_settings(Settings(timestamp_url=url + path)))
    assert seal(root) == 0
    assert "note: sealed without a timestamp" in capsys.readouterr().err
    assert not list((root / "seals").glob("*.tsr"))
    assert len(list((root / "seals").glob("*.json"))) == 2
    assert custody(root, "verify", "--public-key", str(root.parent / "key.pub")) == 0


def test_an_authority_that_is_not_there_does_not_hold_up_the_seal(root: Path) -> None:
    assert seal(root, "--timestamp", "http://127.0.0.1:9/") == 3
    assert len(list((root / "seals").iterdir())) == 1


@needs_openssl
def test_an_answer_to_another_request_is_refused(authority: Authority) -> None:
    old = authority.answer(_request(b"the same content"))
    with pytest.raises(CannotFinish, match="another request"):
        take(b"the same content", lambda _request: old, "x")


@needs_openssl
def test_a_seal_made_by_a_clock_that_was_ahead_is_told(authority: Authority) -> None:
    answer = authority.answer(_request(b"content"))
    stamp = check(answer, b"content", read_certificates(authority.root), "x.tsr")
    ahead = (stamp.time + dt.timedelta(hours=1)).isoformat()
    assert "was ahead" in sentence(stamp, 3, ahead)
    assert "was ahead" not in sentence(stamp, 3, stamp.time.isoformat())


@needs_openssl
def test_a_timestamp_asked_for_and_not_there_is_a_problem(root: Path, authority: Authority) -> None:
    assert seal(root) == 0
    assert custody(root, "verify", "--authority-certificate", str(authority.root)) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "http://", "http://u:p@a/", "x", "http://a b/"])
def test_only_plain_web_addresses_are_asked(url: str, root: Path) -> None:
    with pytest.raises(BadInput):
        check_url(url)
    with pytest.raises(BadInput):
        ask_authority(url, b"", 10)
    assert seal(root, "--timestamp", url) == 2
    assert not (root / "seals").exists()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_a_timestamp_by_chance(content: bytes) -> None:
    with pytest.raises(BadInput):
        check(content, b"content", (), "x")


@needs_openssl
@settings(deadline=None)
@given(data=st.data())
def test_a_damaged_timestamp_is_refused_and_nothing_worse(authority: Authority, data: st.DataObject) -> None:
    path = authority.folder / "kept.tsr"
    if not path.exists():
        path.write_bytes(authority.answer(_request(b"content")))
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255))
    if whole[at] == value:
        return
    whole[at] = value
    trusted = read_certificates(authority.root)
    try:
        stamp = check(bytes(whole), b"content", trusted, "x")
    except BadInput:
        return
    # only what the signature does not cover (a byte of a certificate that is not needed, say) may differ
    assert stamp.proven
    assert stamp.time == check(path.read_bytes(), b"content", trusted, "x").time


def _request(content: bytes) -> bytes:
    kept: list[bytes] = []

    def keep(request: bytes) -> bytes:
        kept.append(request)
        return b""

    with pytest.raises(CannotFinish):
        take(content, keep, "x")
    return kept[0]
