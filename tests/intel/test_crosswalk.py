"""Names across the split of Defense Evasion: shown with their source, or as unmapped."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from casemate.detect.sigma.rule_files import read_rule_files
from casemate.intel.attack import Knowledge, Technique, as_plain, from_plain, parse_atlas
from casemate.intel.contents import read_contents
from casemate.intel.crosswalk import REPLACED_IN_19, TACTICS_IN_19, locate, predecessors
from casemate.intel.rule_tags import count_tags
from casemate.intel.tactics import RANKED_INTENTS, SILENT_TACTICS, TACTIC_INTENTS, intent_of
from casemate.schema.attempts import INTENTS


@pytest.fixture(scope="module")
def attack(shared_data: Path) -> Knowledge:
    known = read_contents(shared_data / "intel/attack/enterprise-attack-v18.json.gz").knowledge
    assert known is not None
    return known


def test_every_old_id_of_the_table_is_in_the_release_before_the_split_and_no_new_one(attack: Knowledge) -> None:
    assert [old for old in REPLACED_IN_19 if attack.technique(old) is None] == []
    assert [new for new in REPLACED_IN_19.values() if attack.technique(new) is not None] == []


def test_the_244_tags_that_the_release_lacks_are_mapped_or_shown_as_unmapped(
    attack: Knowledge, shared_data: Path
) -> None:
    tags: list[str] = []
    with zipfile.ZipFile(shared_data / "sigma/rules.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".yml"):
                text = archive.read(name).decode("utf-8", "replace").lower()
                tags += re.findall(r"^\s+-\s+attack\.(t\d{4}(?:\.\d{3})?)\s*(?:#.*)?$", text, re.MULTILINE)
    found = Counter(locate(tag, attack).status for tag in tags)
    assert found["newer"] + found["unmapped"] == 244
    assert {tag for tag in tags if locate(tag, attack).status == "unmapped"} == {"t1686.003"}
    joined = locate("T1685", attack)
    assert joined.counterparts == ("T1562", "T1562.001", "T1562.006")  # none of them is picked
    assert joined.source is not None
    assert "v19" in joined.source


def test_revoked_and_unknown_ids_say_so(attack: Knowledge) -> None:
    old = locate("T1086", attack)  # PowerShell until 2020
    assert (old.status, old.counterparts) == ("revoked", ("T1059.001",))
    assert locate("T9999", attack).status == "unmapped"
    assert locate("T1685", None).status == "unmapped"


def test_a_release_after_the_split_names_what_became_of_old_ids() -> None:
    after = Knowledge("attack", "19.2", None, {"T1686": Technique("T1686", "Firewall")})
    assert locate("T1562.004", after).counterparts == ("T1686",)
    assert predecessors("T1686") == ("T1562.004",)


def test_knowledge_survives_being_stored(attack: Knowledge) -> None:
    assert from_plain(as_plain(attack)) == attack


def test_atlas_sub_techniques_have_their_parents_tactics(shared_data: Path) -> None:
    atlas = parse_atlas((shared_data / "intel/atlas/ATLAS.yaml").read_bytes())
    part = atlas.technique("AML.T0000.001")
    assert part is not None
    assert (part.parent, part.tactics) == ("AML.T0000", ("reconnaissance",))


def test_every_tactic_of_the_releases_is_in_one_of_the_two_tables(attack: Knowledge, shared_data: Path) -> None:
    atlas = parse_atlas((shared_data / "intel/atlas/ATLAS.yaml").read_bytes())
    named = {*attack.tactics, *atlas.tactics, *TACTICS_IN_19["defense-evasion"]}
    assert named - TACTIC_INTENTS.keys() - SILENT_TACTICS == set()
    assert not TACTIC_INTENTS.keys() & SILENT_TACTICS


def test_the_furthest_intent_counts_and_unspecified_is_an_answer() -> None:
    assert intent_of(["persistence", "initial-access", "impact"]) == "disruption"
    assert intent_of(["discovery", "lateral_movement"]) == "lateral_movement"
    assert intent_of(["stealth", "execution"]) == "unspecified"
    assert intent_of([]) == "unspecified"
    assert set(RANKED_INTENTS) == set(INTENTS)


def test_the_tags_of_a_rule_set_are_counted_by_what_the_releases_know(attack: Knowledge, shared_data: Path) -> None:
    documents = [file.content or b"" for file in read_rule_files([shared_data / "sigma" / "rules.zip"])]
    found = count_tags(documents, attack, None)
    assert (found.tags, found.by_status["newer"] + found.by_status["unmapped"]) == (4473, 244)
    assert sum(found.by_status.values()) == found.tags
    assert all(attack.technique(identity) is None for identity in found.unmapped)


def test_tags_are_unmapped_where_nothing_is_installed_or_known() -> None:
    document = (
        b"tags:\n  - attack.t1059.001\n  - ATTACK.T9999\n  - atlas.aml.t0024\n  - attack.g0016\n  - attack.t10599\n"
    )
    found = count_tags([document], None, None)
    assert (found.tags, found.unmapped) == (3, ("AML.T0024", "T1059.001", "T9999"))
