"""Origin data as it was on a day: versions kept, dated and chosen; files, archives and publishers."""

from __future__ import annotations

import gzip
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casemate.errors import BadInput
from casemate.intel.origins_sources import Publisher
from casemate.intel.origins_store import any_installed, chosen, load, versions
from casemate.intel.origins_update import gather, origin_status, update_origins

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server on loopback, and what it serves by path."""
    contents: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in contents:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(contents[self.path])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}/", contents
    running.shutdown()


def listed(folder: Path, name: str, *blocks: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(blocks) + "\n")
    return path


def test_every_dated_version_is_kept_and_the_nearest_before_is_chosen(tmp_path: Path):
    root = tmp_path / "home"
    assert not any_installed(root)
    for day, block in (("2026-01-10", "192.0.2.0/24"), ("2026-03-10", "192.0.2.0/25"), ("2026-06-10", "192.0.2.0/26")):
        [outcome] = update_origins(source=listed(tmp_path, "vpn/ipv4.txt", block), now=NOW, dated=day, root=root)
        assert (outcome.new, outcome.source) == (True, "vpn")
    assert any_installed(root)
    kept = versions(root)["vpn"]
    assert [(one.dated, one.dated_by) for one in kept] == [
        ("2026-01-10", "given"), ("2026-03-10", "given"), ("2026-06-10", "given"),
    ]  # fmt: skip
    assert [chosen(kept, day).dated for day in ("2025-05-05", "2026-01-10", "2026-03-09", "2027-01-01")] == [
        "2026-01-10", "2026-01-10", "2026-01-10", "2026-06-10",
    ]  # fmt: skip
    assert load(kept[1]).blocks.v4_last.tolist() == [0xC000027F]
    status = origin_status(now=NOW, root=root)["vpn"]
    assert (len(status.versions), status.age_days, status.stale) == (3, 83, True)


def test_the_same_content_is_one_version_unless_it_is_of_another_day(tmp_path: Path):
    path, root = listed(tmp_path, "tor/exits.txt", "192.0.2.1"), tmp_path / "home"
    first = update_origins(source=path, now=NOW, root=root)[0]
    again = update_origins(source=path, now=datetime(2026, 9, 5, tzinfo=UTC), root=root)[0]
    assert first.installed is not None
    assert (first.installed.dated_by, again.new, again.installed) == ("retrieved", False, first.installed)
    earlier = update_origins(source=path, now=NOW, dated="2026-02-01", root=root)[0]
    assert earlier.new
    assert [one.dated for one in versions(root)["tor"]] == ["2026-02-01", "2026-09-01"]


def test_what_a_file_says_of_its_day_goes_before_what_is_given(tmp_path: Path):
    text = "2|arin|20260601|1|19700101|20260531|-0400\narin|US|ipv4|192.0.2.0|256|20100101|allocated|x\n"
    (tmp_path / "delegated-arin").write_text(text)
    [outcome] = update_origins(source=tmp_path / "delegated-arin", now=NOW, dated="2026-02-01", root=tmp_path / "home")
    assert outcome.installed is not None
    assert (outcome.source, outcome.installed.dated, outcome.installed.dated_by) == (
        "rir-arin",
        "2026-05-31",
        "content",
    )


def test_a_folder_of_archives_and_lists_becomes_one_version_of_each_source(tmp_path: Path):
    folder = tmp_path / "origins"
    listed(folder, "cloud/amazon-ipv4.txt", "192.0.2.0/24")
    listed(folder, "cloud/amazon-ipv6.txt", "2001:db8::/32")
    listed(folder, "readme/notes.txt", "nothing to see here")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for code, block in (("de", "198.51.100.0/24"), ("fr", "203.0.113.0/24")):
            content = f"# {code}\n{block}\n".encode()
            entry = tarfile.TarInfo(f"country/{code}/ipv4-aggregated.txt")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    (folder / "rir-country.tar.gz").write_bytes(gzip.compress(packed.getvalue()))
    outcomes = {one.source: one for one in update_origins(source=folder, now=NOW, root=tmp_path / "home")}
    assert set(outcomes) == {"amazon", "rir-country"}
    assert [dict(one.installed.counts) for one in outcomes.values() if one.installed] == [
        {"files": 2, "lines": 2, "rejected": 0, "blocks": 2}
    ] * 2
    assert any("notes.txt" in one for outcome in outcomes.values() for one in outcome.skipped)
    with pytest.raises(BadInput, match="none of the formats"):
        gather(folder / "readme")
    with pytest.raises(BadInput, match="not a day"):
        update_origins(source=folder, now=NOW, dated="2026-13-01", root=tmp_path)


def test_publishers_are_fetched_and_one_that_fails_stops_no_other(tmp_path: Path, server):
    address, contents = server
    contents["/a/ipv4.txt"], contents["/a/ipv6.txt"] = b"192.0.2.0/24\n", b"2001:db8::/32\n"
    publishers = (
        Publisher("one", "first", "provider", (f"{address}a/ipv4.txt", f"{address}a/ipv6.txt"), "cloud", "One"),
        Publisher("two", "second", "service", (f"{address}b.txt",), "vpn"),
    )
    done = update_origins(now=NOW, root=tmp_path, publishers=publishers)
    assert [(one.source, one.new, one.error is None) for one in done] == [("one", True, True), ("two", False, False)]
    assert len(load(versions(tmp_path)["one"][0]).blocks) == 2
    contents["/m/b.txt"] = b"192.0.2.9\n"
    mirrored = update_origins(source=f"{address}m/", now=NOW, root=tmp_path, publishers=publishers)
    assert [(one.source, one.new) for one in mirrored] == [("two", True)]
    with pytest.raises(BadInput, match="no publisher"):
        update_origins(("three",), now=NOW, root=tmp_path, publishers=publishers)
