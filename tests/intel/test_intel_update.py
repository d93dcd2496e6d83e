"""Installing, pinning and finding again rules, ATT&CK and ATLAS, from files, folders and a server."""

from __future__ import annotations

import gzip
import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casemate.errors import BadInput, CannotFinish, CaseDamaged, LimitReached
from casemate.intel import edge
from casemate.intel.store import Pin, current, home, installed_rules, knowledge, own_rules, pins, resolve, versions
from casemate.intel.update import status, update

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
RULE = """title: x
id: 6f3e2987-db24-4c78-a860-b4f4095a7095
logsource: {product: test}
detection:
  s: {a: b}
  condition: s
"""
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes | Answer]], str]]:
    """Serve contents by path on loopback; the value is the server's address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(contents: dict[str, bytes | Answer]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = contents.get(self.path)
                if content is None:
                    self.send_error(404)
                elif callable(content):
                    content(self)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def redirect(target: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", target)
        request.end_headers()

    return answer


def test_real_releases_from_a_server(
    tmp_path: Path, shared_data: Path, serve: Callable[[dict[str, bytes | Answer]], str]
) -> None:
    attack = (shared_data / "intel/attack/enterprise-attack-v18.json.gz").read_bytes()
    base = serve(
        {
            "/rules.zip": (shared_data / "sigma/rules.zip").read_bytes(),
            "/attack": redirect("/enterprise-attack.json"),
            "/enterprise-attack.json": attack,
            "/ATLAS.yaml": (shared_data / "intel/atlas/ATLAS.yaml").read_bytes(),
        }
    )
    releases = {"sigma": base + "rules.zip", "attack": base + "attack", "atlas": base + "ATLAS.yaml"}
    outcomes = update(now=NOW, root=tmp_path, releases=releases)
    assert [(one.name, one.new, one.error) for one in outcomes] == [(name, True, None) for name in releases]
    counts = {one.name: dict(one.installed.counts) for one in outcomes if one.installed}
    assert counts["sigma"]["rules"] == 3754
    assert counts["attack"]["techniques"] + counts["attack"]["revoked"] + counts["attack"]["deprecated"] == 835
    assert counts["atlas"] == {"techniques": 170, "revoked": 0, "deprecated": 0, "tactics": 16}
    dated = {one.name: one.installed.dated for one in outcomes if one.installed}
    assert {name: str(day)[:7] for name, day in dated.items()} == {
        "sigma": "2026-07",  # the newest rule, not the day the archive was packed
        "attack": "2025-11",
        "atlas": "2026-04",
    }
    sources = {one.name: one.installed.source for one in outcomes if one.installed}
    assert sources["attack"] == base + "enterprise-attack.json"
    assert installed_rules(tmp_path)[1].read_bytes() == (shared_data / "sigma/rules.zip").read_bytes()
    known = knowledge("attack", tmp_path)
    assert known is not None
    guess = known.technique("t1110.003")
    assert guess is not None
    assert (guess.name, guess.tactics, guess.parent) == ("Password Spraying", ("credential-access",), "T1110")
    again = update(now=NOW, root=tmp_path, releases=releases)
    assert [one.new for one in again] == [False, False, False]
    assert list((tmp_path / "intel").glob("*/.staging*")) == []


def test_mirror_folder_with_the_real_files(tmp_path: Path, shared_data: Path) -> None:
    outcomes = update(source=shared_data, now=NOW, root=tmp_path)
    assert {one.name for one in outcomes if one.installed} == {"sigma", "attack", "atlas"}
    assert {one.name for one in pins(tmp_path)} == {"casemate", "sigma", "attack", "atlas"}


def test_mirror_at_an_address(tmp_path: Path, serve: Callable[[dict[str, bytes | Answer]], str]) -> None:
    base = serve({"/mirror/sigma_all_rules.zip": packed(tmp_path)})
    outcomes = update(source=base + "mirror", now=NOW, root=tmp_path / "home")
    assert [(one.name, one.new) for one in outcomes] == [("sigma", True)]


def packed(tmp_path: Path) -> bytes:
    from casemate.intel.contents import pack_rules

    folder = tmp_path / "some rules"
    folder.mkdir()
    (folder / "one.yml").write_text(RULE)
    pack_rules(folder, tmp_path / "packed.zip")
    return (tmp_path / "packed.zip").read_bytes()


def test_folder_of_rules_becomes_a_version_and_a_changed_one_another(tmp_path: Path) -> None:
    rules, root = tmp_path / "mine", tmp_path / "home"
    rules.mkdir()
    (rules / "one.yml").write_text(RULE)
    first = update(source=rules, now=NOW, root=root)[0]
    assert first.installed is not None
    assert first.installed.counts == {"files": 1, "rules": 1, "correlations": 0, "filters": 0}
    assert not update(source=rules, now=NOW + timedelta(days=1), root=root)[0].new  # the same rules
    (rules / "two.yml").write_text(RULE.replace("title: x", "title: y").replace("7095", "7096"))
    second = update(source=str(rules), now=NOW + timedelta(days=1), root=root)[0]
    assert second.new
    assert len(versions("sigma", root)) == 2
    assert current("sigma", root) == second.installed
    assert resolve(first.installed.pin, root) == first.installed  # an old case still finds its rules


def test_pin_finds_the_same_or_says_what_to_do(tmp_path: Path) -> None:
    rules, root = tmp_path / "mine", tmp_path / "home"
    rules.mkdir()
    (rules / "one.yml").write_text(RULE)
    installed = update(source=rules, now=NOW, root=root)[0].installed
    assert installed is not None
    with pytest.raises(BadInput, match=installed.sha256):
        resolve(installed.pin, tmp_path / "another home")
    installed.path.write_bytes(b"changed")
    with pytest.raises(CaseDamaged, match="not what was pinned"):
        resolve(installed.pin, root)
    with pytest.raises(BadInput):
        resolve(Pin("sigma", "../../etc", "0"), root)


def test_a_day_in_the_future_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(RULE + "modified: 2052-01-01\n")
    installed = update(source=tmp_path / "one.yml", now=NOW, root=tmp_path / "home")[0].installed
    assert installed is not None
    assert (installed.dated, installed.version[:10]) == (None, "2026-09-01")


def test_own_rules_are_always_there(tmp_path: Path) -> None:
    assert installed_rules(tmp_path) == (own_rules(),)
    own = current("casemate", tmp_path)
    assert own is not None
    assert resolve(own.pin, tmp_path) == own
    with pytest.raises(BadInput, match="own rules"):
        resolve(Pin("casemate", "0.0-abc", "0" * 64), tmp_path)


def test_status_says_what_is_stale_and_what_is_absent(tmp_path: Path) -> None:
    rules, root = tmp_path / "mine", tmp_path / "home"
    rules.mkdir()
    (rules / "one.yml").write_text(RULE)
    update(source=rules, now=NOW, root=root)
    rows = {row.name: row for row in status(now=NOW + timedelta(days=50), root=root)}
    assert (rows["sigma"].age_days, rows["sigma"].stale, rows["sigma"].kept) == (50, True, 1)
    assert (rows["attack"].installed, rows["attack"].stale) == (None, None)
    assert (rows["casemate"].stale, rows["casemate"].kept) == (None, 1)
    assert not next(row for row in status(now=NOW, root=root) if row.name == "sigma").stale


def test_one_failure_does_not_stop_the_others(
    tmp_path: Path, serve: Callable[[dict[str, bytes | Answer]], str]
) -> None:
    base = serve({"/rules.zip": packed(tmp_path), "/ATLAS.yaml": b"title: not atlas\n"})
    releases = {"sigma": base + "rules.zip", "attack": base + "absent", "atlas": base + "ATLAS.yaml"}
    outcomes = {one.name: one for one in update(now=NOW, root=tmp_path / "home", releases=releases)}
    assert outcomes["sigma"].new
    assert isinstance(outcomes["attack"].error, CannotFinish)
    assert "404" in str(outcomes["attack"].error)
    assert "not a release of ATLAS" in str(outcomes["atlas"].error)
    assert not (tmp_path / "home/intel/atlas/current").exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http:///x", "gopher://x/"])
def test_only_http_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput):
        edge.fetch(url, tmp_path / "out")


def test_secrets_in_a_url_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        edge.fetch("http://me:secret@127.0.0.1/x", tmp_path / "out")
    assert "secret" not in str(raised.value)


def test_redirects_are_bounded_and_stay_on_http(
    tmp_path: Path, serve: Callable[[dict[str, bytes | Answer]], str]
) -> None:
    base = serve({"/loop": redirect("/loop2"), "/loop2": redirect("/loop"), "/out": redirect("file:///etc/passwd")})
    with pytest.raises((LimitReached, CannotFinish)):
        edge.fetch(base + "loop", tmp_path / "out")
    with pytest.raises((BadInput, CannotFinish)):
        edge.fetch(base + "out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_size_and_time_are_bounded(tmp_path: Path, serve: Callable[[dict[str, bytes | Answer]], str]) -> None:
    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def short(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x")

    base = serve({"/big": b"x" * 2000, "/endless": endless, "/short": short})
    small = edge.FetchLimits(bytes=1000)
    for path in ("big", "endless"):
        with pytest.raises(LimitReached, match="larger than 1000"):
            edge.fetch(base + path, tmp_path / "out", small)
    ticks = iter(range(0, 10_000, 400))
    with pytest.raises(LimitReached, match="more than 600 seconds"):
        edge.fetch(base + "endless", tmp_path / "out", clock=lambda: float(next(ticks)))
    with pytest.raises(CannotFinish):
        edge.fetch(base + "short", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"{",
        b'{"type": "bundle", "objects": []}',
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"[" * 5000,
        b"a: &a [*a]",
    ],
)
def test_what_is_no_release_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(content)
    outcomes = update(source=file, now=NOW, root=tmp_path / "home")
    assert outcomes[0].installed is None
    assert isinstance(outcomes[0].error, BadInput)
    assert list((tmp_path / "home").rglob("*")) == []


def many(count: int) -> str:
    """So many rules in one document stream, more than a megabyte for 10,000."""
    return "---\n".join(RULE.replace("6f3e2987", f"{number:08d}") for number in range(count))


def test_a_large_rule_file_counts_like_any_other(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../all.yml", many(10_000))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "all.yml").write_text(many(10_000))
    (folder / "alias.yml").symlink_to(folder / "all.yml")
    for source, files in ((tmp_path / "one.zip", 1), (folder, 2)):
        (outcome,) = update(["sigma"], source=source, now=NOW, root=tmp_path / "home")
        assert outcome.installed is not None
        assert (outcome.installed.counts["files"], outcome.installed.counts["rules"]) == (files, files * 10_000)


def test_a_link_out_of_a_folder_of_rules_is_refused_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "rule.yml").write_text(RULE)
    (folder / "link.yml").symlink_to("/etc/passwd")
    (outcome,) = update(["sigma"], source=folder, now=NOW, root=tmp_path / "home")
    assert "link.yml: a link that leads out of the folder" in str(outcome.error)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"PK\x03\x04" + b"\x00" * 100, "a zip archive that is cut short or damaged"),
        (bytes(range(256)), "neither Sigma rules (.zip, .yml) nor YARA rules (.zip, .yar) nor ATT&CK (STIX) nor ATLAS"),
        (gzip.compress(RULE.encode()), "Sigma rules are taken as .zip or plain YAML"),
    ],
)
def test_the_reason_of_a_refusal_is_true(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(content)
    assert reason in str(update(["sigma"], source=file, now=NOW, root=tmp_path / "home")[0].error)


def test_an_unpacked_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lying.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rule.yml", RULE + "#" * 50_000_000)
    content = bytearray(file.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 24 : place + 28] = (100).to_bytes(4, "little")
    file.write_bytes(bytes(content))
    assert isinstance(update(["sigma"], source=file, now=NOW, root=tmp_path / "home")[0].error, BadInput)


def test_a_file_of_another_kind_than_asked_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(RULE)
    outcome = update(["attack"], source=tmp_path / "one.yml", now=NOW, root=tmp_path / "home")[0]
    assert "this is sigma, not attack" in str(outcome.error)


def test_home_is_where_the_user_says(tmp_path: Path) -> None:
    assert home({"CASEMATE_HOME": str(tmp_path)}) == tmp_path
    assert home({"XDG_DATA_HOME": "/data"}) == Path("/data/casemate")
    assert home({}) == Path("~/.local/share/casemate").expanduser()
