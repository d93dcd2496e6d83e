"""Decoded text of real records: stated match counts stay, and obfuscated commands are found."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import yaml
from sigma_sets import members, read_batches

from casemate.detect.sigma.cache import InstalledRules
from casemate.detect.sigma.kernel import SigmaFindings
from casemate.detect.sigma.variants import DETECTOR, FindingsWithDecoded, split_found
from casemate.engine.protocol import Kernel


def kernel_of(installed: InstalledRules, table: str) -> Kernel:
    return FindingsWithDecoded(SigmaFindings(str(installed.folder), table), table).build()


def test_no_stated_match_count_changes_by_decoded_text(shared_data: Path, installed: InstalledRules) -> None:
    kernels: dict[str, Kernel] = {}
    added: list[str] = []
    with zipfile.ZipFile(shared_data / "sigma" / "regression.zip") as archive:
        for name in archive.namelist():
            if not name.endswith((".evtx", ".raw")):
                continue
            info = yaml.safe_load(io.BytesIO(archive.read(name.rsplit("/", 1)[0] + "/info.yml")))
            rule = info["rule_metadata"][0]["id"]
            for table, batch in read_batches(name, archive.read(name)):
                if table not in kernels:
                    kernels[table] = kernel_of(installed, table)
                findings, _ = split_found(kernels[table](batch))
                pairs = zip(findings["detector"].to_pylist(), findings["rule_id"].to_pylist(), strict=True)
                if (DETECTOR, rule) in pairs:
                    added.append(name)
    assert not added


def test_what_obfuscated_scripts_hide_is_found(shared_data: Path, installed: InstalledRules) -> None:
    run = kernel_of(installed, "windows_event")
    hidden = "DownloadString('https://raw.githubusercontent.com/"
    steps: set[tuple[str, ...]] = set()
    titles: set[str] = set()
    for name, data in members(shared_data / "evtx" / "DeepBlueCLI.zip", ".evtx"):
        if "obfuscation" not in name.lower():
            continue
        for table, batch in read_batches(name, data):
            if table == "windows_event":
                findings, texts = split_found(run(batch))
                rows = texts.to_pylist()
                steps |= {tuple(row["steps"]) for row in rows if row["text"] and hidden in row["text"]}
                decoded = (row for row in findings.to_pylist() if row["detector"] == DETECTOR)
                titles |= {row["title"] for row in decoded}
    assert {("char-codes",), ("strings",)} <= steps
    assert "Malicious PowerShell Commandlets - ScriptBlock" in titles
