"""``casemate show origins`` and ``intel update origins``: from files to shares, with sources, dates and definitions."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from jsonschema import validate
from small_case import run

from casemate.cli.schemas import published
from casemate.intel.store import HOME_VARIABLE

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TABLE = (
    "block,registered_country,holder,category\n"
    "5.5.0.0/16,NL,Nimbus Example Cloud,cloud\n5.5.9.0/24,FR,Veil Example VPN,vpn\n6.0.0.0/8,DE,,\n"
)
FIELDS = (
    "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port proto:enum service:string "
    "duration:interval orig_bytes:count resp_bytes:count conn_state:string history:string"
)
NAMES, TYPES = zip(*(field.split(":") for field in FIELDS.split()), strict=True)
HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\t" + "\t".join(NAMES) + "\n#types\t" + "\t".join(TYPES) + "\n"
)
SOURCES = ("5.5.9.1", "5.5.1.1", "6.1.1.1", "9.9.9.9")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory, settled: None) -> Path:
    """A folder with a case of four sources that each try many ports, made without origin data."""
    folder = tmp_path_factory.mktemp("scanned")
    rows = []
    for place, source in enumerate(SOURCES):
        for port in range(1, 41):
            body = (f"C{place}x{port}", source, 40_000 + port, "192.0.2.10", port, "tcp", "-", 0.1, 10, 5, "REJ", "Sr")
            moment = (START + dt.timedelta(seconds=port + place)).timestamp()
            rows.append("\t".join(str(value) for value in (f"{moment:.6f}", *body)))
    (folder / "evidence").mkdir()
    (folder / "evidence" / "conn.log").write_text(HEADER + "\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:  # other tests install rule sets in the shared data folder
        patch.setenv(HOME_VARIABLE, str(folder / "home"))
        made = run("investigate", folder / "evidence", "--case", folder / "case", "--own", "192.0.2.0/24", "-q")
    assert made.code == 0, made.err
    (folder / "networks.csv").write_text(TABLE)
    return folder


def home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(folder))


def test_without_origin_data_the_answer_is_null_and_what_to_install(
    scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home(monkeypatch, tmp_path)
    told = run("show", "origins", "--case", scanned / "case")
    assert "casemate intel update origins" in told.out
    assert run("show", "origins", "--case", scanned / "case", "--json").json() is None
    assert run("show", "summary", "--case", scanned / "case", "--json").json()["origins"] is None


def test_installed_data_is_asked_at_once_and_every_number_has_its_definition(
    scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home(monkeypatch, tmp_path)
    installed = run("intel", "update", "origins", "--from", scanned / "networks.csv", "--dated", "2026-02-01", "--json")
    validate(installed.json(), published("intel_update"))
    assert [one["name"] for one in installed.json()] == ["origins/networks"]
    told = run("show", "origins", "--case", scanned / "case", "--json").json()
    validate(told, published("origins"))
    attempts = told["by"]["attempts"]
    each = attempts["total"] // 4
    assert {name: one["number"] for name, one in attempts["country"].items()} == {
        "NL": each, "FR": each, "DE": each, "unknown": each,
    }  # fmt: skip
    assert {name: one["number"] for name, one in attempts["category"].items()} == {
        "cloud": 2 * each, "vpn": each, "unknown": 2 * each,
    }  # fmt: skip
    assert told["by"]["addresses"]["total"] == 4
    assert told["by"]["connections"]["holder"]["Veil Example VPN"]["share"] == pytest.approx(0.25, abs=0.03)
    share = told["cloud_or_vpn"]["attempts"]
    assert (share["share"], share["unknown"], told["cloud_or_vpn"]["cloud_providers"]) == (
        0.5, 2 * each, ["Nimbus Example Cloud"],
    )  # fmt: skip
    assert told["sources"][0] | {"sha256": ""} == {
        "source": "networks", "title": "table networks", "kind": "stated", "dated": "2026-02-01",
        "dated_by": "given", "later": False, "sha256": "",
    }  # fmt: skip
    text = run("show", "origins", "--case", scanned / "case", "--by", "country").out
    assert "50.0 % of malicious traffic (by attempts) came from blocks registered to 1 cloud provider" in text
    assert "= origins.cloud_or_vpn_attempts:" in text
    assert "no nationality" in text
    summary = run("show", "summary", "--case", scanned / "case", "--json").json()
    validate(summary, published("summary"))
    assert summary["origins"]["by"]["attempts"]["country"] == attempts["country"]
    # what the next investigation stores says the same
    assert run("investigate", scanned / "evidence", "--case", scanned / "case", "-q").code == 0
    rows = run("query", "SELECT address, registered_country, categories FROM origins ORDER BY address", "--case",
               scanned / "case", "--json").lines()  # fmt: skip
    assert [(row["address"], row["registered_country"]) for row in rows] == [
        ("5.5.1.1", "NL"), ("5.5.9.1", "FR"), ("6.1.1.1", "DE"), ("9.9.9.9", None),
    ]  # fmt: skip
    assert run("show", "origins", "--case", scanned / "case", "--json").json() == told
    # and so does the case where nothing is installed
    home(monkeypatch, tmp_path / "elsewhere")
    assert run("show", "origins", "--case", scanned / "case", "--json").json() == told


def test_later_data_is_said_to_be_later_and_nearer_data_is_preferred(
    scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home(monkeypatch, tmp_path)
    other = tmp_path / "networks.csv"
    other.write_text("block,registered_country\n5.5.9.0/24,PT\n")
    assert run("intel", "update", "origins", "--from", other, "--dated", "2026-06-01").code == 0
    told = run("show", "origins", "--case", scanned / "case", "--json").json()
    assert [(one["dated"], one["later"]) for one in told["sources"]] == [("2026-06-01", True)]
    assert "PT" in told["by"]["attempts"]["country"]
    assert run("intel", "update", "origins", "--from", scanned / "networks.csv", "--dated", "2026-01-01").code == 0
    told = run("show", "origins", "--case", scanned / "case", "--json").json()
    assert [(one["dated"], one["later"]) for one in told["sources"]] == [("2026-01-01", False)]
    assert "PT" not in told["by"]["attempts"]["country"]
    status = run("intel", "status", "--json").json()
    validate(status, published("intel_status"))
    assert [one["dated"] for one in status["origins"][0]["versions"]] == ["2026-01-01", "2026-06-01"]
    one = run("show", "origins", "--case", scanned / "case", "--address", "5.5.9.1", "--json").json()
    validate(one, published("origins_address"))
    assert {(block["dated"], block["block"]) for block in one["blocks"]} == {
        ("2026-01-01", "5.5.9.0/24"), ("2026-06-01", "5.5.9.0/24"),
    }  # fmt: skip


def test_a_case_can_have_data_of_its_own(scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home(monkeypatch, tmp_path)
    case = tmp_path / "case"
    made = run(
        "investigate", scanned / "evidence", "--case", case, "--own", "192.0.2.0/24",
        "--origins", scanned / "networks.csv", "--json", "-q",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert made.json()["origins"]["by"]["attempts"]["country"]["FR"]["number"] > 0
    (tmp_path / "elsewhere").mkdir()
    home(monkeypatch, tmp_path / "elsewhere")
    assert "FR" in json.dumps(run("show", "origins", "--case", case, "--json").json()["by"]["attempts"])
    assert run("show", "origins", "--case", case, "--by", "nation").code == 2
    assert run("show", "origins", "--case", case, "--address", "x").code == 2
    assert run("investigate", scanned / "evidence", "--case", case, "--origins", tmp_path / "absent").code == 2
