"""Why a finding was made: its rule as written, the values that matched, its records, and what came near.

Everything is read straight from the parts of the case, so that a case with a million findings answers as
quickly as a small one; an engine is started only where a behaviour's series is asked of the OCSF tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from casemate.case import CUSTODY, Case
from casemate.detect.tuning.overlay import case_tunings
from casemate.detect.tuning.tunings import as_yaml, filter_document
from casemate.engine.lookup import Ranges, among, beginning, every, rows_at, rows_where
from casemate.errors import BadInput, CasemateError
from casemate.evidence.records import around
from casemate.explore.why_judged import otherwise
from casemate.explore.why_model import Also, GroupEvent, ShownRecord, Why
from casemate.explore.why_records import (
    LAST,
    NEIGHBOURS,
    first_addresses,
    json_of,
    members_of,
    place_of,
    ranges_of,
    record_of,
    rows_of,
    times_of,
)
from casemate.explore.why_rule import RuleText, rule_text
from casemate.explore.why_values import decoded_row, values_of, variant_of
from casemate.schema.findings import FINDINGS
from casemate.triage import annotations_of

if TYPE_CHECKING:
    from casemate.explore.why_series import Series


SHOWN_CANDIDATES = 5
RECORDS_SHOWN = 3
"""Records told with their content."""
ALSO_SHOWN = 200
EVENTS_SHOWN = 200
SUPPRESSED = "suppressed_findings"
RULES_IN_CODE = ("artifact", "signature", "suricata", "yara")
"""Detectors whose rules are no files of the case."""
SINGLE = ("sigma", "sigma_decoded")
"""Detectors of findings on one record."""


def why(case: Case, text: str) -> Why:
    """Why the finding whose id begins with `text` was made.

    Raises:
        BadInput: no finding has that id, or more than one begins so.
    """
    finding = _finding(case, text)
    because = json_of(finding["why"])
    members = members_of(case, finding["id"], "suppressed_records" if finding["suppressed_by"] else "finding_records")
    addresses = first_addresses(members)
    notes: list[str] = []
    shown: list[ShownRecord] = []
    row: pa.RecordBatch | None = None
    table = ""
    times = times_of(case, addresses)
    ordered = sorted(addresses, key=lambda one: times.get(one, LAST))  # addresses of one time stay in order
    for number, address in enumerate(ordered[:RECORDS_SHOWN]):
        try:
            place = place_of(case, address)
            near = around(case.store, place, NEIGHBOURS if number == 0 else 0)
            rows = rows_of(case, [one.place for one in near])
            if number == 0:
                row, table = rows.get(place), place.table
            shown.append(record_of(case, place, near, rows))
        except CasemateError as error:
            notes.append(f"record {address} cannot be shown: {error}")
    variant = variant_of(case, because, addresses)
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
        values=tuple(values_of(because, row, variant)),
        records=tuple(shown),
        addresses=tuple(addresses),
        record_count=sum(last - first + 1 for runs in members.values() for first, last in runs),
        also=tuple(also[0]),
        nearly=(
            *(
                _nearly(case, finding, rule, texts, table, decoded_row(row, variant), notes)
                if detector in SINGLE
                else ()
            ),
            *_near_tunings(case, finding, notes),
        ),
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


def _near_tunings(case: Case, finding: Mapping[str, Any], notes: list[str]) -> tuple[Any, ...]:
    """Tunings on findings, of whatever detector, that this one missed by one part."""
    tunings = [
        one
        for one in case_tunings(case.path / CUSTODY)
        if one.kind == "suppress" and one.about == "finding" and one.detection is not None
    ]
    if not tunings:
        return ()
    # pySigma takes longer to import than all else together: only where a tuning may tell
    from casemate.detect.tuning.nearly import near_tunings

    row = {name: finding.get(name) for name in FINDINGS.names}
    try:
        return near_tunings(tunings, pa.RecordBatch.from_pylist([row], FINDINGS))
    except (CasemateError, ValueError, KeyError, TypeError, RecursionError) as error:
        notes.append(f"which tunings nearly took it out cannot be told: {error}")
        return ()


def _series(case: Case, finding: Mapping[str, Any], because: Any, members: Ranges) -> Series | None:
    # an engine takes longer to import than the rest to answer: only where a behaviour is asked about
    from casemate.explore.why_series import series_of

    return series_of(case, finding, because, members)


def _also(case: Case, finding: str, addresses: Sequence[str]) -> tuple[list[Also], dict[str, list[str]]]:
    """Other findings on these records, the most severe of the most records first; and per record their titles."""
    on: dict[str, set[str]] = {}
    columns = ["finding", "evidence", "record"]
    ranges = ranges_of(addresses)
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


def _events(
    ordered: Sequence[str], times: Mapping[str, datetime], titles: Mapping[str, list[str]]
) -> Iterator[GroupEvent]:
    """The events of a correlation in order of time; those without a time last."""
    for address in ordered[:EVENTS_SHOWN]:
        time = times.get(address)
        shown = None if time is None else time.isoformat().replace("+00:00", "Z")
        yield GroupEvent(shown, address, tuple(dict.fromkeys(titles.get(address, ()))))
