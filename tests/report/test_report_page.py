"""The report: all of it is there, it leads down to the records, and hostile evidence does nothing in a browser."""

from __future__ import annotations

import contextlib
import html.parser
import json
import shutil
import socket
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.case import Case
from casemate.cli import _run
from casemate.cli.schemas import published
from casemate.report import gather as gathering
from casemate.report.build import build
from casemate.report.elements import Style, element, escaped, render
from casemate.report.reasons import reason
from casemate.report.style import SHEET, policy, sheet
from casemate.settings import TLP, Settings

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
RULE = """
title: Login page asked for <b>bold</b>
id: 6d2b9f4e-9d0f-4a55-8a42-0a4b8e4f7a11
status: test
tags: [attack.t1190, attack.initial-access]
logsource: {category: webserver}
detection:
    selection: {cs-uri-stem|contains: login}
    condition: selection
level: high
"""


def hostile(port: int) -> list[str]:
    """User agents that try to run, fetch, restyle, reorder or end something."""
    there = f"http://127.0.0.1:{port}"
    return [
        f"<script>document.title='ran';fetch('{there}/fetch')</script>",
        f"<img src={there}/img onerror=document.title='ran'>",
        f"</pre></div><svg onload=document.title='ran'><image href={there}/svg /></svg>",
        "' onmouseover=document.title='ran' x='",
        f"<style>@import url({there}/css);body{{background:url({there}/bg)}}</style>",
        f"<link rel=stylesheet href={there}/link><meta http-equiv=refresh content=0;url={there}/refresh>",
        f"<iframe src={there}/frame></iframe><base href={there}/>",
        "\u202egnp.exe\u2066\u200b",
        "nul\x00nul <!-- ]]> --> &lt;script&gt;",
        "Authorization: Bearer hunter2secret0",
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, list[bytes]]]:
    """A listener that remembers every connection."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                heard.append(listening.accept()[0].recv(100))

    threading.Thread(target=listen, daemon=True).start()
    yield listening.getsockname()[1], heard
    listening.close()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, server: tuple[int, list[bytes]]) -> Path:
    """A case whose every request is hostile."""
    folder = tmp_path_factory.mktemp("report")
    evidence = folder / "evidence"
    evidence.mkdir()
    request = '192.0.2.4 - - [02/Mar/2026:01:00:{:02} +0000] "GET /login?id={} HTTP/1.1" 200 12 "-" "{}"\n'
    lines = [request.format(place, place, agent) for place, agent in enumerate(hostile(server[0]))]
    (evidence / "<script>document.title='ran'<-script>.log").write_text("".join(lines))
    with zipfile.ZipFile(folder / "rules.zip", "w") as archive:
        archive.writestr("rules/web/login.yml", RULE)
    Case.create(folder / "case", Settings(name="</title><script>document.title='ran'</script>", tlp="red")).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASEMATE_HOME", str(folder / "home"))
        words = ["investigate", evidence, "--case", folder / "case", "--rules", folder / "rules.zip", "--json"]
        assert _run([str(word) for word in words], debug=True) == 0
    return folder / "case"


@pytest.fixture(scope="module")
def page(case: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    with Case.open(case) as opened:
        made = build(opened, out, made_at=AT, shown="CASE")
    assert made.findings_in_detail == made.findings >= len(hostile(0))
    return out


class Reader(html.parser.HTMLParser):
    """What a browser would make of the page: tags, ids, links, text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Reader:
    """The page, parsed."""
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


def test_nothing_of_the_page_runs_or_leads_outside(page: Path) -> None:
    reader = read(page)
    assert not {"script", "iframe", "img", "link", "base", "object", "embed", "form", "image"} & set(reader.tags)
    assert not {name for name in reader.attributes if name.startswith("on") or name in ("style", "src")}
    assert all(link.startswith("#") for link in reader.links)
    assert "default-src 'none'; style-src 'sha256-" in page.read_text(encoding="utf-8").replace("&#x27;", "'")


def test_every_link_leads_to_something_and_no_id_is_given_twice(page: Path) -> None:
    reader = read(page)
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_it_says_the_answer_the_marking_and_the_original_of_a_record(page: Path) -> None:
    text = "".join(read(page).text)
    for words in (
        "TLP:RED",
        "Largest blind spot",
        "T1190",
        "GET /login?id=0",
        "<script>document.title='ran'",
        "selection",
    ):
        assert words in text, words
    assert "\\u202e" in text
    assert "\u202e" not in text
    assert "hunter2secret0" not in text
    assert "[masked:" in text


@pytest.mark.skipif(BROWSER is None, reason="no chromium here, so the report was not opened in a browser")
def test_a_browser_runs_and_fetches_nothing(page: Path, server: tuple[int, list[bytes]], tmp_path: Path) -> None:
    assert BROWSER is not None
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    words += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}", "--dump-dom"]
    ran = subprocess.run([BROWSER, *words, page.as_uri()], capture_output=True, timeout=120, check=False)
    dom = ran.stdout.decode("utf-8", "replace")
    assert "Largest blind spot" in dom, ran.stderr.decode("utf-8", "replace")[-500:]
    assert "<title>ran</title>" not in dom
    reader = Reader()
    reader.feed(dom)
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert server[1] == []


def test_a_case_without_findings_has_a_report_that_says_what_that_is_worth(tmp_path: Path) -> None:
    with Case.create(tmp_path / "case") as made:
        build(made, tmp_path / "report.html", made_at=AT, shown="CASE")
    assert "Nothing was read, so nothing can be said." in "".join(read(tmp_path / "report.html").text)


def test_the_rest_is_counted_and_said(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "FINDINGS_IN_DETAIL", 3)
    with Case.open(case) as opened:
        made = build(opened, tmp_path / "report.html", made_at=AT, shown="CASE")
    assert made.findings_in_detail == 3
    assert f"The other {made.findings - 3:,} are counted" in "".join(read(tmp_path / "report.html").text)


def test_the_same_case_gives_the_same_page(case: Path, page: Path, tmp_path: Path) -> None:
    with Case.open(case) as opened:
        build(opened, tmp_path / "again.html", made_at=AT, shown="CASE")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_the_command_writes_into_the_case_and_custody_still_verifies(
    case: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(case, tmp_path / "case")
    assert _run(["report", "--case", str(tmp_path / "case"), "--json"], debug=True) == 0
    assert (tmp_path / "case" / "report.html").is_file()
    assert _run(["custody", "verify", "--case", str(tmp_path / "case")], debug=True) == 0
    assert "report.html" in capfd.readouterr().out


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    made = "".join(render(element("p", text, title=text)))
    reader = Reader()
    reader.feed(made)
    assert reader.tags == ["p"]
    assert "<" not in escaped(text)
    assert '"' not in escaped(text)
    assert all(character.isprintable() or character in "\n\t" for character in escaped(text))


def test_what_could_be_dangerous_cannot_be_built() -> None:
    for tag, attributes in (
        ("script", {}),
        ("a", {"href": "javascript:x"}),
        ("p", {"onclick": "x"}),
        ("p", {"style": "x"}),
    ):
        with pytest.raises(ValueError, match=r"no such|leads inside"):
            element(tag, **attributes)
    with pytest.raises(ValueError, match="no markup"):
        Style("</style><script>")


@pytest.mark.parametrize("tlp", TLP)
def test_every_marking_has_its_colour(tlp: str) -> None:
    assert f"TLP:{tlp.upper()}" in sheet(tlp)
    assert "url(" not in SHEET
    assert "sha256-" in policy(sheet(tlp))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text(max_size=5)
                | st.sampled_from(["all", "any", "not", "field", "value", "selection", "because", "events"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_reason_can_be_shown(why: Any) -> None:
    json.dumps("".join(render(reason(why))))


def test_a_reason_of_any_size_is_cut_and_says_so() -> None:
    deep: Any = "end"
    for _ in range(500):
        deep = {"all": [deep, {"field": "a", "value": "b"}]}
    assert len("".join(render(reason(deep)))) < 20_000
    wide = {"any": [{"field": "a", "value": str(number)} for number in range(10_000)]}
    assert "the first" in "".join(render(reason(wide)))


@pytest.mark.parametrize(
    ("schema", "words"),
    [("report", ["report"]), ("export", ["export", "--to", "navigator"]), ("export", ["export", "--to", "ecs"])],
)
def test_json_follows_its_schema(
    case: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], schema: str, words: list[str]
) -> None:
    assert _run([*words, "--case", str(case), "--out", str(tmp_path / "out"), "--json"], debug=True) == 0
    made = json.loads(capfd.readouterr().out)
    jsonschema.validate(made, published(schema))
    assert set(made) == set(published(schema)["properties"])
