"""Pages made from the code: every table and column of a case, and every setting (``scripts/document`` writes them)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator

import pyarrow as pa

from casemate.decode import STEPS
from casemate.evidence.readers import READERS
from casemate.explore.tables import DERIVED
from casemate.limits import Limits
from casemate.schema.native import FLAGS, LEADING_FIELDS, NativeTable
from casemate.schema.ocsf import BASE, EVENT_CLASSES, OCSF_VERSION
from casemate.settings import Settings, format_settings
from casemate.views import VIEWS

INTRODUCTION = """# Tables

Made by `scripts/document` from the code; do not edit. All of these can be asked with `casemate query`, and
`information_schema` tells which of them a case has. Times are UTC. A record's address is `evidence:record`.
"""

DERIVED_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "evidence": (
        "One row per content; `records = kept + rejected`. Archives have none of their own.",
        {
            "evidence": "SHA-256 of the content",
            "structure": "lines that carry no record: blank, headers, comments",
            "continues": "the evidence whose content is this one's beginning; its records are not read again",
            "notes": "what the reader or a limit had to say",
        },
    ),
    "registrations": (
        "That a content was received; one content may have many.",
        {"parent": "the archive it came out of", "member_path": "its path in the archive"},
    ),
    "rejects": (
        "Records that could not be kept; their bytes stay in the evidence.",
        {"record": "line, record or packet number", "offset": "first byte in the content"},
    ),
    "findings": (
        "One detector's statement about records.",
        {
            "id": "hash of the rule and the records; a new version of the rule keeps it",
            "detector": "`sigma`, `sigma_decoded` (on decoded text), `sigma_correlation`, `signature` (exploit tools), "
            "`suricata` (its alerts), `artifact` (the scanner), `yara` (content rules) or `behaviour.<analytic>`",
            "techniques": "ATT&CK and ATLAS",
            "source": "who, as far as the records say",
            "target": "against what",
            "why": "JSON: the tree of what matched where",
        },
    ),
    "finding_records": ("The records a finding rests on.", {"finding": "`findings.id`"}),
    "attempts": (
        "Findings of one source against one scope by one vector, with no gap above the case's setting.",
        {
            "scope": "a service, a host, or the own network",
            "intent": "the furthest intent of its findings",
            "findings": "how many",
            "gap_seconds": "the setting this attempt was made with",
        },
    ),
    "attempt_findings": (
        "Every finding is in exactly one attempt.",
        {
            "attempt": "`attempts.id`",
            "apart": "microseconds from the latest end before it, of its source, scope and vector; null where none was",
        },
    ),
    "origins": (
        "What registries and lists say of each source address of attempts, once per span of time in which the same "
        "versions of the origin data hold; no rows without such data. A registration is no location, no nationality.",
        {
            "span": "number of the span; `span_begins` to `span_ends`, null where it is open",
            "registered_country": "country the block is registered to, as the registry says",
            "located_country": "country a geolocation database places it in",
            "holder": "whom the block is registered to",
            "operator": "who uses it: a provider that publishes it as its own, the name of its AS, a VPN service",
            "categories": "cloud, vpn, proxy, tor, hosting, access network, private, own, bogon, documentation; "
            "empty is unknown",
            "lists": "warning lists that hold it",
            "claims": "every statement with its source and that source's date; `later`: no version from before",
            "registered_to": "the registered country, else own, private, documentation or bogon; null is unknown",
            "cloud_or_vpn": "`cloud_or_vpn`, `neither`, `inside` (own and private) or `unknown`",
            "attempts": "attempts that began in the span",
            "connections": "connections it began while its attempts went on",
            "bytes": "of these connections, both directions",
            "without_bytes": "connections of which no record says the bytes",
        },
    ),
    "origin_categories": (
        "The rows of `origins` once for each of their categories, with who says so; one row without where none does.",
        {"category": "null is unknown"},
    ),
    "origin_files": (
        "Origin data of this case alone (`investigate --origins`).",
        {"block": "prefix, or first-last", "system": "number of an AS", "says": "JSON: the facts in order"},
    ),
    "artifacts": (
        "Models, data, notebooks and packages in evidence, as the scanner judges them; one record each, number 0 of "
        "its evidence: the whole content. An archive that is one artefact (a checkpoint, a wheel) is judged whole, "
        "with its members.",
        {
            "record": "0",
            "offset": "0",
            "length": "bytes of the content",
            "path": "where it was received first; `!/` stands before a member of an archive",
            "dated": "its own date in the file system or archive",
            "format": "formats that could accept it, the likeliest first, joined by `+`",
            "verdict": "`safe`, `suspicious`, `malicious` or `unscannable`",
            "reasons": "the gravest first; `path_inside` is the place in the content, `offset` the byte in that place",
            "reasons_left_off": "reasons beyond the first hundred",
            "bytes_skipped": "bytes that were owned without being read (tensors)",
        },
    ),
    "artifact_looks": (
        "Evidence that the scanner looked at, so that it is done once.",
        {
            "artifact": "false for what turned out to be none",
            "marked": "it is text, and was only looked at if its beginning bears a mark of an artefact",
        },
    ),
    "content_looks": (
        "Evidence whose content was held against a set of content rules (YARA), so that it is done once.",
        {
            "rule_set": "hash of the rules and the engine",
            "contents": "how many: directions of connections, transferred files, or the evidence itself",
            "notes": "what a limit kept from being looked at",
        },
    ),
    "annotations": (
        "What people said of findings, attempts and records (`casemate mark`); derived from the custody log.",
        {
            "kind": "`finding`, `attempt` or `record`",
            "subject": "id, or address of a record",
            "verdict": "`true`, `false`, `benign` or `duplicate`; null where only a note or tag was given",
            "duplicate_of": "what it is a duplicate of",
            "marked_by": "who said so last",
            "line": "sequence number of the custody line that said so last",
            "inherited_from": "the marked subject that this one follows; null where it was marked itself",
            "present": "whether the case has the subject now",
        },
    ),
    "rules": (
        "Rules of the last run.",
        {"state": "whether it ran, and if not, why", "reason": "more about that, or a fault of its metadata"},
    ),
    "rule_texts": (
        "Files of the rules that have findings or suppressed matches, of correlations, and of filters.",
        {"kind": "`rule` or `filter`", "text": "YAML as it was read; null where it was too long to keep"},
    ),
    "suppressed": ("Matches that a filter took out of a rule: no findings, but counted.", {}),
    "suppressed_findings": (
        "Findings that a tuning took out, as their detector made them; all columns of `findings`, and why.",
        {"tuning": "id of the tuning that took it out", "reason": "that tuning's reason"},
    ),
    "suppressed_records": ("The records suppressed findings rest on.", {"finding": "`suppressed_findings.id`"}),
    "tuning_effects": (
        "Per tuning and core asset the findings it touched.",
        {
            "effect": "`suppress`, `severity`, `core_asset`; `changed` counts all whose severity is another now",
            "name": "id of the tuning, name of the core asset, or `all`",
        },
    ),
    "decoded_text": (
        "What was encoded in fields of records, decoded; never executed. The fields that are looked at are listed in "
        "`casemate/decode/columns.py`; rules are held against each text in the place of the field.",
        {
            "field": "column of the native table",
            "depth": "layers that were opened; 0 where only a limit is told",
            "steps": "what was undone, in order: " + ", ".join(f"`{step}`" for step in STEPS),
            "text": "null where nothing came out before a limit was reached",
            "limit_hit": "why there may be more, or what is missing; null if this is all",
        },
    ),
    "matched": (
        "Evidence that was held against a rule set, so that it is done once.",
        {"rule_set": "hash of the rule set", "kept": "records it had then"},
    ),
}

FIXED_COLUMNS: dict[str, str] = {
    "evidence": "SHA-256 of the content it stands in",
    "record": "number of the record in it: line, EVTX record number, element",
    "offset": "first byte in the content",
    "length": "bytes",
    "time": "UTC; null if the record has no possible time",
    "time_raw": "the text it was read from",
    "flags": "what was assumed or replaced, `;` between words; null if nothing was",
}


def tables_page() -> str:
    """The whole page as Markdown."""
    return "\n".join(
        [INTRODUCTION, *_derived(), *_ocsf(), *_native()],
    )


def settings_page() -> str:
    """What ``case.toml`` may say, and every limit with its default, as Markdown."""
    limits, grid = Limits(), ("limit", "default", "meaning")
    rows = [(f"`{name}`", f"{getattr(limits, name):,.0f}", meaning) for name, meaning in _limits().items()]
    return f"""# Settings

Made by `scripts/document` from the code; do not edit. Each case has a `case.toml`, read at the start of each run. An
unknown name in it is an error. A new one says:

```toml
{format_settings(Settings(name="CASE")).strip()}
```

## Limits

Under `[limits]`; sizes are bytes, times are seconds. Reaching one is never silent: the record is rejected with its
position, or the run says where reading stopped.

{_grid(grid, rows)}"""


def _limits() -> dict[str, str]:
    """The limits and the text under each in the source."""
    body = ast.parse(inspect.getsource(Limits)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for here, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            said = text.value if isinstance(text, ast.Constant) else ""
            found[here.target.id] = " ".join(str(said).split()).replace("``", "`")
    return found


def _derived() -> Iterator[str]:
    yield "## Tables of every case\n"
    for name, schema in DERIVED.items():
        description, meanings = DERIVED_TABLES[name]
        yield f"### {name}\n\n{description}\n"
        yield _grid(
            ("column", "type", "meaning"),
            ((f"`{field.name}`", _type(field.type), meanings.get(field.name, "")) for field in schema),
        )


def _ocsf() -> Iterator[str]:
    yield f"""## OCSF tables

Views over the native tables, pinned to [OCSF {OCSF_VERSION}](https://schema.ocsf.io/{OCSF_VERSION}). Attribute
paths are written with `_` for `.`; what OCSF keeps under `unmapped` has the prefix `unmapped_`. `status` is `Success`,
`Failure` or `Unknown`; text is null when unknown. Every table begins with

{_columns(BASE)}
"""
    for kind in EVENT_CLASSES:
        natives = sorted({view.native for view in VIEWS if view.event_class == kind})
        made = ", ".join(f"`{name}`" for name in natives) or "nothing yet"
        yield f"### {kind.name}\n\nClass {kind.class_uid}. Made from {made}.\n\n{_columns(kind.columns)}\n"


def _native() -> Iterator[str]:
    yield """## Native tables

Records of one log source as stored; every field is text. A case has those it has records of. Each begins with
"""
    yield _grid(
        ("column", "type", "meaning"),
        ((f"`{field.name}`", _type(field.type), FIXED_COLUMNS[field.name]) for field in LEADING_FIELDS),
    )
    yield """and ends with `rest`: a JSON object of everything else the record held, or null. Words in `flags`:
"""
    yield _grid(("flag", "meaning"), ((f"`{word}`", meaning) for word, meaning in FLAGS.items()))
    formats: dict[str, list[str]] = {}
    tables: dict[str, NativeTable] = {}
    for reader in READERS:
        for table in reader.tables:
            tables[table.name] = table
            formats.setdefault(table.name, []).append(f"`{reader.format}`")
    for name in sorted(tables):
        columns = ", ".join(f"`{column}`" for column in tables[name].columns) or "none of its own"
        description = f"{tables[name].description.rstrip('.')}. " if tables[name].description else ""
        yield f"### {name}\n\n{description}From {', '.join(formats[name])}.\n\nColumns: {columns}\n"


def _columns(columns: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {_plain(kind)}" for name, kind in columns.items())


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"struct of {', '.join(f'`{field.name}`' for field in kind)}"
    return _plain(str(kind))


def _plain(kind: str) -> str:
    words = {"string": "text", "int64": "integer", "float64": "number", "double": "number", "bool": "boolean"}
    return "time" if kind.startswith("timestamp") else words.get(kind.removeprefix("!"), kind)


def _grid(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(list(head))}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
