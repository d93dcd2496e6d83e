"""Rules and records written in tests, and both ways to match them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import yaml

from casemate.detect.sigma.compile import compile_rules
from casemate.detect.sigma.compiled import CompiledRules
from casemate.detect.sigma.load import LoadedRule, parse_rule_files
from casemate.detect.sigma.match import TableMatcher
from casemate.detect.sigma.rule_files import RuleFile


def load(*documents: dict[str, Any]) -> tuple[LoadedRule, ...]:
    """Rules from detections (or whole documents), each with an id of its own; raises if one is refused."""
    files = []
    for number, document in enumerate(documents):
        whole = document if "detection" in document else {"detection": document}
        whole = {
            "title": f"rule {number}",
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "logsource": {"product": "windows"},
            **whole,
        }
        files.append(RuleFile(f"{number}.yml", yaml.safe_dump(whole, allow_unicode=True, sort_keys=False).encode()))
    rule_set = parse_rule_files(files)
    assert not rule_set.errors, rule_set.errors
    return rule_set.rules


def compiled(*documents: dict[str, Any], **options: Any) -> CompiledRules:
    """Compiled rules; raises if one is refused."""
    rules = compile_rules(load(*documents), **options)
    assert not rules.refused, rules.refused
    return rules


def batch(
    records: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, plain: bool = False
) -> pa.RecordBatch:
    """Records (``rest`` as a dict) as a batch of a native table."""
    names = list(columns if columns is not None else dict.fromkeys(name for record in records for name in record))
    arrays: dict[str, pa.Array] = {
        "evidence": pa.array(["e" * 64] * len(records)).dictionary_encode(),
        "record": pa.array(range(1, len(records) + 1), pa.int64()),
        "time": pa.array([1_700_000_000_000_000 + number for number in range(len(records))], pa.timestamp("us", "UTC")),
    }
    for name in dict.fromkeys([*names, "rest"]):
        values = [record.get(name) for record in records]
        if name == "rest":
            values = [orjson.dumps(value).decode() if isinstance(value, dict) else value for value in values]
        array = pa.array(values, pa.string())
        arrays[name] = array if plain else array.dictionary_encode()
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def matched(
    document: dict[str, Any], records: Sequence[Mapping[str, Any]], *, table: str = "windows_event", **options: Any
) -> list[int]:
    """Which of the records (counted from 0) a rule matches."""
    rules = compiled(document, **options)
    found = TableMatcher(rules, table).match(batch(records))
    return sorted({int(row) for match in found.matches for row in match.rows})
