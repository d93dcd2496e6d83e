"""The documents made from the code are those in the repository."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import jsonschema
import pytest

from casemate.cli.schemas import SCHEMAS, published

ROOT = Path(__file__).resolve().parents[1]


def test_committed_documents_are_current() -> None:
    made: dict[str, str] = runpy.run_path(str(ROOT / "scripts" / "document"))["documents"]()
    stale = [path for path, text in made.items() if (ROOT / "docs" / path).read_text(encoding="utf-8") != text]
    assert not stale, "run scripts/document"
    kept = {f"schemas/{path.name}" for path in (ROOT / "docs" / "schemas").iterdir()}
    assert kept == {path for path in made if path.startswith("schemas/")}


def test_every_reader_and_class_is_described() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    for name in ("windows_event", "zeek_conn", "lines", "network_activity", "findings"):
        assert f"\n### {name}\n" in page
    assert "nothing yet" not in page.partition("### email_activity")[0]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(published(name))


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
