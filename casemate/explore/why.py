"""Why a finding was made: its rule as written, the values that matched, its records, and what came near.

Everything is read straight from the parts of the case, so that a case with a million findings answers as
quickly as a small one; an engine is started only where a behaviour's series is asked of the OCSF tables.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions when it is imported)
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from casemate.case import CUSTODY, Case
from casemate.detect.tuning.overlay import case_tunings
from casemate.detect.tuning.tunings import as_yaml, filter_document
from casemate.engine.lookup import Ranges, among, beginning, every, rows_at, rows_where, runs_of
from casemate.errors import BadInput, CasemateError
from casemate.evidence.records import ARTIFACTS_TABLE, OriginalRecord, RecordPlace, around, find_place
from casemate.explore.why_judged import otherwise
from casemate.explore.why_model import Also, Decoded, GroupEvent, Neighbour, ShownRecord, Value, Why
from casemate.explore.why_rule import RuleText, rule_text
from casemate.schema.findings import FINDINGS
from casemate.schema.native import FIXED_NAMES
from casemate.triage import annotations_of

if TYPE_CHECKING:
    from casemate.explore.why_series import Series

SHOWN_CANDIDATES = 5
ADDRESSES = 1_000
"""Most record addresses told; ``record_count`` says how many there are."""
RECORDS_SHOWN = 3
"""Records told with their content."""
NEIGHBOURS = 2
"""Records before and after the first one."""
TEXT_BYTES = 16_384
"""Most of a record's text; as with every cut, its length is told."""
ALSO_SHOWN = 200
EVENTS_SHOWN = 200
SUPPRESSED = "suppressed_findings"
BINARY = b"**\x00\x00"
"""How a record of a Windows event log begins."""
PACKET_TABLES = ("packet", "smb1_message")
"""Records of these tables are packets as captured."""
VALUE_DEPTH = 40
RULES_IN_CODE = ("artifact", "signature", "suricata", "yara")
"""Detectors whose rules are no files of the case."""
SINGLE = ("sigma", "sigma_decoded")
"""Detectors of findings on one record."""
_LAST = datetime.max.replace(tzinfo=UTC)


def why(case: Case, text: str) -> Why:
    """Why the finding whose id begins with `text` was made.

    Raises:
        BadInput: no finding has that id, or more than one begins so.
    """
    finding = _finding(case, text)
    because = _json(finding["why"])
    members = _members(case, finding["id"], "suppressed_records" if finding["suppressed_by"] else "finding_records")
    addresses = _first(members)
    notes: list[str] = []
    shown: list[ShownRecord] = []
    row: pa.RecordBatch | None = None
    table = ""
    times = _times(case, addresses)
    ordered = sorted(addresses, key=lambda one: times.get(one, _LAST))  # addresses of one time stay in order
    for number, address in enumerate(ordered[:RECORDS_SHOWN]):
        try:
            place = _place(case, address)
            near = around(case.store, place, NEIGHBOURS if number == 0 else 0)
            rows = _rows(case, [one.place for one in near])
            if number == 0:
                row, table = rows.get(place), place.table
            shown.append(_record(case, place, near, rows))
        except CasemateError as error:
            notes.append(f"record {address} cannot be shown: {error}")
    variant = _variant(case, because, addresses)
    also = _also(case, finding["id"], addresses)
    detector = finding["detector"]
    behaviour, correlation = detector.startswith("behaviour."), detector == "sigma_correlation"
    texts = {} if behaviour else _rule_files(case)
    rule = _rule(case, finding, because, texts, notes)
    return Why(
        finding=finding,
        because=because,
        annotation=annotations_of(case, "finding").get(finding["id"]),
        rule=rule,
        values=tuple(_values(because, row, variant)),
        records=tuple(shown),
        addresses=tuple(addresses),
        record_count=sum(last - first + 1 for runs in members.values() for first, last in runs),
        also=tuple(also[0]),
        nearly=_nearly(case, finding, rule, texts, table, _decoded_row(row, variant), notes)
        if detector in SINGLE
        else (),
        events=tuple(_events(ordered, times, also[1])) if correlation else (),
        series=_series(case, finding, because, members) if behaviour else None,
        otherwise=otherwise(detector, because),
        notes=tuple(notes),
    )


def as_json(answer: Why) -> dict[str, Any]:
    """The answer as ``casemate why --json`` prints it."""
    tree = asdict(answer)
    finding = {name: value for name, value in answer.finding.items() if name != "why"}
    if tree["annotation"] is not None:
        kept = ("verdict", "duplicate_of", "note", "tags", "marked_by", "marked_at", "inherited_from")
        tree["annotation"] = {name: tree["annotation"][name] for name in kept}
    if tree["series"] is not None:
        tree["series"]["moments"] = [{"what": what, "time": time} for what, time in tree["series"]["moments"]]
    rule = tree.pop("rule")
    lines = [{"line": mark["line"] + 1, **{k: mark[k] for k in ("begin", "end", "state")}} for mark in rule["marks"]]
    return {
        **finding,
        "annotation": tree.pop("annotation"),
        "rule": {
            "path": rule["path"],
            "text": rule["text"],
            "detection": [rule["detection"][0] + 1, rule["detection"][1]] if rule["detection"] else None,
            "marks": lines,
        },
        **{name: tree[name] for name in ("because", "values", "nearly", "otherwise", "events", "series", "also")},
        "records": tree["records"],
        "addresses": tree["addresses"],
        "record_count": tree["record_count"],
        "notes": tree["notes"],
    }


# the finding and its records


def _finding(case: Case, text: str, table: str = "findings") -> dict[str, Any]:
    wanted = text.strip().lower()
    if not wanted or not wanted.isalnum() or not wanted.isascii():
        raise BadInput(f"'{text[:80]}' is no id of a finding")
    found: list[dict[str, Any]] = []
    names = [*FINDINGS.names, *(["tuning", "reason"] if table == SUPPRESSED else [])]
    for batch in rows_where(case.part_paths(table), "id", beginning(wanted), names):
        found += batch.slice(0, SHOWN_CANDIDATES + 1).to_pylist()
        if len(found) > SHOWN_CANDIDATES:
            break
    if not found and table != SUPPRESSED:
        return _finding(case, text, SUPPRESSED)
    if not found:
        raise BadInput(f"no finding begins with '{wanted[:40]}'")
    if len(found) > 1:
        listed = ", ".join(sorted(row["id"] for row in found)[:SHOWN_CANDIDATES])
        more = " and more" if len(found) > SHOWN_CANDIDATES else ""
        raise BadInput(f"'{wanted}' is the beginning of several findings: {listed}{more}", hint="give more digits")
    return {
        **found[0],
        "suppressed_by": found[0].pop("tuning", None),
        "suppressed_because": found[0].pop("reason", None),
    }


def _members(case: Case, finding: str, table: str) -> Ranges:
    columns = ["finding", "evidence", "record"]
    held: dict[str, list[int]] = {}
    for batch in rows_where(case.part_paths(table), "finding", among([finding]), columns):
        for evidence, record in zip(
            batch.column("evidence").to_pylist(), batch.column("record").to_pylist(), strict=True
        ):
            held.setdefault(evidence, []).append(record)
    return {evidence: runs_of(numbers) for evidence, numbers in sorted(held.items())}


def _first(members: Ranges) -> list[str]:
    addresses: list[str] = []
    for evidence, runs in members.items():
        for first, last in runs:
            room = ADDRESSES - len(addresses)
            addresses += [f"{evidence}:{number}" for number in range(first, min(last + 1, first + room))]
    return addresses


def _ranges(addresses: Iterable[str]) -> Ranges:
    held: dict[str, list[int]] = {}
    for address in addresses:
        evidence, _, record = address.rpartition(":")
        held.setdefault(evidence, []).append(int(record))
    return {evidence: runs_of(numbers) for evidence, numbers in held.items()}


def _place(case: Case, address: str) -> RecordPlace:
    evidence, _, record = address.rpartition(":")
    return find_place(case.store, evidence, int(record))


def _rows(case: Case, places: Sequence[RecordPlace]) -> dict[RecordPlace, pa.RecordBatch]:
    """Records as stored in their native tables."""
    found: dict[RecordPlace, pa.RecordBatch] = {}
    for table in dict.fromkeys(place.table for place in places):
        schema = case.schema(table)
        if schema is None or "time" not in schema.names:
            continue
        mine = {(one.evidence, one.record, one.offset): one for one in places if one.table == table}
        ranges = _ranges(f"{evidence}:{record}" for evidence, record, _ in mine)
        for batch in rows_at(case.part_paths(table), ranges, schema.names):
            keys = zip(*(batch.column(name).to_pylist() for name in ("evidence", "record", "offset")), strict=True)
            found |= {mine[key]: batch.slice(number, 1) for number, key in enumerate(keys) if key in mine}
    return found


def _record(
    case: Case, place: RecordPlace, near: Sequence[OriginalRecord], rows: Mapping[RecordPlace, pa.RecordBatch]
) -> ShownRecord:
    row = rows.get(place)
    here = next(number for number, one in enumerate(near) if one.place == place)
    own = near[here]
    fields = fields_of(row) if row is not None else {}
    time = row.to_pylist()[0]["time"] if row is not None else None
    beside = [*near[:here], *near[here + 1 :]]
    told = _neighbours(case, beside, rows)
    return ShownRecord(
        id=f"{place.evidence}:{place.record}",
        table=place.table,
        time=None if time is None else time.isoformat().replace("+00:00", "Z"),
        path=own.path,
        member_path=own.member_path,
        format=own.format,
        offset=place.offset,
        length=place.length,
        sha256=own.sha256,
        content=None if _is_binary(own) else own.content[:TEXT_BYTES].decode("utf-8", "backslashreplace"),
        fields=fields,
        before=tuple(told[:here]),
        after=tuple(told[here:]),
    )


def _is_binary(record: OriginalRecord) -> bool:
    """Whether a record's bytes are no text: binary XML of Windows, packets, artefacts."""
    return record.content.startswith(BINARY) or record.place.table in (*PACKET_TABLES, ARTIFACTS_TABLE)


def _neighbours(
    case: Case, beside: Sequence[OriginalRecord], rows: Mapping[RecordPlace, pa.RecordBatch]
) -> list[Neighbour]:
    told = []
    ranges = _ranges(f"{one.place.evidence}:{one.place.record}" for one in beside)
    fired: dict[str, list[str]] = {}
    columns = ["finding", "evidence", "record"]
    for batch in rows_at(case.part_paths("finding_records"), ranges, columns) if ranges else ():
        for row in batch.to_pylist():
            fired.setdefault(f"{row['evidence']}:{row['record']}", []).append(row["finding"])
    for one in beside:
        address = f"{one.place.evidence}:{one.place.record}"
        row = rows.get(one.place)
        time = row.to_pylist()[0]["time_raw"] if row is not None else None
        if _is_binary(one) and row is not None:
            text = " ".join(f"{name}={value}" for name, value in fields_of(row).items())
        else:
            text = one.content[:TEXT_BYTES].decode("utf-8", "backslashreplace")
        told.append(Neighbour(address, time, text, tuple(sorted(fired.get(address, ())))))
    return told


def fields_of(row: pa.RecordBatch) -> dict[str, str]:
    """Fields of one record by name, those of ``rest`` among them."""
    values = row.to_pylist()[0]
    found = {
        name: str(value)
        for name, value in values.items()
        if value is not None and name not in FIXED_NAMES and name != "rest"
    }
    rest = _json(values.get("rest") or "{}")
    if isinstance(rest, Mapping):
        found |= {
            str(name): value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in rest.items()
            if value is not None
        }
    return found


# the rule


def _rule_files(case: Case) -> dict[str, tuple[str, str | None]]:
    """Texts of the rules and filters that the case keeps, by path (and a number where two have the same)."""
    found: dict[str, tuple[str, str | None]] = {}
    for path in case.part_paths("rule_texts"):
        for batch in rows_where([path], "path", every(), _TEXTS):
            for row in batch.to_pylist():
                name = row["path"]
                while name in found:
                    name += " "
                found[name] = row["kind"], row["text"]
    return found


_TEXTS = ["path", "kind", "text"]


def _rule(
    case: Case, finding: Mapping[str, Any], because: Any, texts: Mapping[str, tuple[str, str | None]], notes: list[str]
) -> RuleText:
    rule_id = finding["rule_id"]
    if finding["detector"].startswith("behaviour.") or finding["detector"] in RULES_IN_CODE:
        return RuleText(None, None)
    wanted = {
        row["path"]
        for batch in rows_where(case.part_paths("rules"), "rule_id", among([rule_id]), ["rule_id", "path"])
        for row in batch.to_pylist()
    }
    named = [(path, text) for path, (_, text) in texts.items() if path.strip() in wanted]
    best = next(((path, text) for path, text in named if text and rule_id in text.lower()), named[0] if named else None)
    if best is None:
        notes.append("the text of the rule was not kept: the case was investigated by an older version of Casemate")
        return RuleText(next(iter(sorted(wanted)), None), None)
    return rule_text(best[0].strip(), best[1], rule_id, finding["title"], because)


def _nearly(
    case: Case,
    finding: Mapping[str, Any],
    rule: RuleText,
    texts: Mapping[str, tuple[str, str | None]],
    table: str,
    row: pa.RecordBatch | None,
    notes: list[str],
) -> tuple[Any, ...]:
    if rule.text is None or row is None:
        return ()
    filters = [(path, text) for path, (kind, text) in texts.items() if kind == "filter" and text]
    filters += [
        (f"tuning {one.short}", as_yaml(filter_document(one)))
        for one in case_tunings(case.path / CUSTODY)
        if one.kind == "suppress" and one.about == "record" and one.detection is not None
    ]
    if not filters and '"not"' not in finding["why"]:
        return ()
    # pySigma takes longer to import than all else together: only where something was ruled out
    from casemate.detect.sigma.nearly import near_misses
    from casemate.detect.sigma.placeholders import given_placeholders
    from casemate.detect.sigma.rule_files import RuleFile

    whole = next(
        (text for path, (_, text) in texts.items() if path.strip() == rule.path and text and rule.text in text),
        rule.text,
    )
    files = [RuleFile(rule.path or "", whole.encode())]
    files += [RuleFile(path, text.encode()) for path, text in filters]
    try:
        return near_misses(files, finding["rule_id"], table, row, given_placeholders(case.settings.placeholders))
    except (CasemateError, ValueError, KeyError, TypeError, RecursionError) as error:
        notes.append(f"what nearly ruled it out cannot be told: {error}")
        return ()


def _variant(case: Case, tree: Any, addresses: Sequence[str]) -> tuple[str, Decoded] | None:
    """The column a decoded text was put in the place of, and that text, whole where the case keeps it."""
    said = tree.get("variant") if isinstance(tree, Mapping) else None
    if not isinstance(said, Mapping) or not isinstance(said.get("text"), str):
        return None
    field, text = str(said.get("field")), said["text"]
    steps = tuple(map(str, said.get("steps") or ()))
    if text.endswith((" in all)", " characters in all)")):
        start = text.rsplit("... (", 1)[0]
        columns = ["evidence", "record", "field", "text"]
        ranges = _ranges(addresses)
        for batch in rows_at(case.part_paths("decoded_text"), ranges, columns) if ranges else ():
            kept = (row["text"] for row in batch.to_pylist() if row["field"] == field and row["text"])
            text = next((one for one in kept if one.startswith(start)), text)
    limit = said.get("limit_hit")
    return field, Decoded(steps, text, None if limit is None else str(limit))


def _decoded_row(row: pa.RecordBatch | None, variant: tuple[str, Decoded] | None) -> pa.RecordBatch | None:
    """The record with the decoded text in its place, as the matcher saw it."""
    if row is None or variant is None or variant[0] not in row.schema.names:
        return row
    place = row.schema.get_field_index(variant[0])
    return row.set_column(place, pa.field(variant[0], pa.string()), pa.array([variant[1].text], pa.string()))


def _values(tree: Any, row: pa.RecordBatch | None, variant: tuple[str, Decoded] | None) -> Iterator[Value]:
    whole = {name.lower(): value for name, value in fields_of(row).items()} if row is not None else {}
    for selection, leaf in _walk(tree, None, 0):
        yield _value(leaf, selection, whole, variant)


def _walk(tree: Any, selection: str | None, depth: int) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """The tests that held, with the part of the rule they belong to."""
    if depth > VALUE_DEPTH:
        return
    if isinstance(tree, list):
        for item in tree:
            yield from _walk(item, selection, depth + 1)
        return
    if not isinstance(tree, Mapping):
        return
    if "field" in tree or "keyword" in tree:
        yield selection, tree
        return
    name = tree.get("selection")
    below = name if isinstance(name, str) else selection
    for key in ("all", "any", "because"):
        if key in tree:
            yield from _walk(tree[key], below, depth + 1)


def _value(
    leaf: Mapping[str, Any], selection: str | None, whole: Mapping[str, str], variant: tuple[str, Decoded] | None
) -> Value:
    field, column = leaf.get("field"), leaf.get("column")
    pattern = leaf.get("pattern", leaf.get("keyword", leaf.get("is")))
    patterns = (pattern,) if isinstance(pattern, str) else tuple(map(str, pattern or ()))
    if not patterns:  # another field's value was asked for
        patterns = tuple(f"{name} {item}" for name, item in leaf.items() if str(item).startswith("field "))
    value = None if leaf.get("value") is None else str(leaf["value"])
    stands = str(column or field or "").lower()
    known = whole.get(stands)
    decoded = None
    if variant is not None and stands == variant[0].lower():
        decoded = variant[1]
        value = known if known is not None else value
    elif value is not None and known is not None and value.endswith(" characters in all)"):
        value = known  # the tree keeps the beginning of long values only
    return Value(selection, field, column if column != field else None, patterns, value, decoded)


# what else


def _series(case: Case, finding: Mapping[str, Any], because: Any, members: Ranges) -> Series | None:
    # an engine takes longer to import than the rest to answer: only where a behaviour is asked about
    from casemate.explore.why_series import series_of

    return series_of(case, finding, because, members)


def _also(case: Case, finding: str, addresses: Sequence[str]) -> tuple[list[Also], dict[str, list[str]]]:
    """Other findings on these records, the most severe of the most records first; and per record their titles."""
    on: dict[str, set[str]] = {}
    columns = ["finding", "evidence", "record"]
    ranges = _ranges(addresses)
    for batch in rows_at(case.part_paths("finding_records"), ranges, columns) if ranges else ():
        for row in batch.to_pylist():
            if row["finding"] != finding:
                on.setdefault(row["finding"], set()).add(f"{row['evidence']}:{row['record']}")
    if not on:
        return [], {}
    named = ["id", "rule_id", "title", "severity", "detector"]
    rows = [
        row for batch in rows_where(case.part_paths("findings"), "id", among(on), named) for row in batch.to_pylist()
    ]
    found = [Also(**row, records=len(on[row["id"]])) for row in rows]
    found.sort(key=lambda one: (-one.records, one.title, one.id))
    titles: dict[str, list[str]] = {}
    for one in found:
        for address in on[one.id]:
            titles.setdefault(address, []).append(one.title)
    return found[:ALSO_SHOWN], titles


def _times(case: Case, addresses: Sequence[str]) -> dict[str, datetime]:
    """The times of records that have one."""
    ranges = _ranges(addresses)
    times: dict[str, datetime] = {}
    for table in case.tables() if ranges else ():
        schema = case.schema(table)
        if schema is None or not {"evidence", "record", "time", "offset"} <= set(schema.names):
            continue
        for batch in rows_at(case.part_paths(table), ranges, ["evidence", "record", "time"]):
            for row in batch.to_pylist():
                if row["time"] is not None:
                    times[f"{row['evidence']}:{row['record']}"] = row["time"]
    return times


def _events(
    ordered: Sequence[str], times: Mapping[str, datetime], titles: Mapping[str, list[str]]
) -> Iterator[GroupEvent]:
    """The events of a correlation in order of time; those without a time last."""
    for address in ordered[:EVENTS_SHOWN]:
        time = times.get(address)
        shown = None if time is None else time.isoformat().replace("+00:00", "Z")
        yield GroupEvent(shown, address, tuple(dict.fromkeys(titles.get(address, ()))))


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
