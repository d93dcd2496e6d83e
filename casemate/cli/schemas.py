"""JSON Schemas of every ``--json`` output; ``scripts/document`` writes them to ``docs/schemas/``."""

from __future__ import annotations

from typing import Any

from casemate.detect.artifacts.contract import SEVERITIES as ARTIFACT_SEVERITIES
from casemate.detect.artifacts.contract import VERDICTS as ARTIFACT_VERDICTS
from casemate.detect.coverage.numbers import VERDICTS as NUMBERING_VERDICTS
from casemate.detect.coverage.stopped import KINDS as STOPPED_KINDS
from casemate.detect.tuning.tunings import ABOUT as TUNING_ABOUT
from casemate.detect.tuning.tunings import KINDS as TUNING_KINDS
from casemate.detect.tuning.tunings import SCOPES as TUNING_SCOPES
from casemate.explore.blind_spots import KINDS as BLIND_SPOTS
from casemate.explore.coverage_requests import STATES as REQUEST_STATES
from casemate.explore.findings import RECORDS_SHOWN
from casemate.explore.pivots import FIELDS
from casemate.explore.tunings import STATES as TUNING_STATES
from casemate.export.run import SCOPES, TARGETS
from casemate.gate.decide import RULES as GATE_RULES
from casemate.intel.crosswalk import STATUSES
from casemate.intel.origins_sources import KINDS as ORIGIN_KINDS
from casemate.intel.origins_store import DATED_BY
from casemate.intel.store import DATASETS, OWN_RULES
from casemate.origins.measures import LABELS as ORIGIN_GROUPS
from casemate.origins.measures import UNITS as ORIGIN_UNITS
from casemate.schema.annotations import SUBJECT_KINDS, VERDICTS
from casemate.schema.attempts import INTENTS
from casemate.schema.findings import CONFIDENCES, OUTCOMES, SEVERITIES, SOURCE_KINDS, TARGET_KINDS, VECTORS
from casemate.schema.rules import STATES

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION = (
    "Times are UTC, ISO 8601. Parts not built yet are null, never empty. Later versions may add keys; these stay."
)
TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
SECONDS: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
ADDRESS: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}:[0-9]+$"}
ANY_OBJECT: Schema = {"type": "object"}


def _listed(item: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": item, **more}


def _or_null(kind: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, kind]}


def _counts(kind: Schema = COUNT) -> Schema:
    return {"type": "object", "additionalProperties": kind}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _one_of(*words: str) -> Schema:
    return {"enum": list(words)}


NULL_TEXT = _or_null(TEXT)
TIME = _or_null({"type": "string", "format": "date-time"})
SOURCE = _object(kind=_one_of(*SOURCE_KINDS), value=NULL_TEXT)
TARGET = _object(kind=_one_of(*TARGET_KINDS), value=NULL_TEXT, service=NULL_TEXT)
OUTCOME = _one_of(*OUTCOMES)
VERDICT = _or_null(_one_of(*VERDICTS))
ANNOTATION = _object(
    verdict=VERDICT,
    duplicate_of=NULL_TEXT,
    note=NULL_TEXT,
    tags=_listed(TEXT),
    marked_by=TEXT,
    marked_at=TIME,
    inherited_from=NULL_TEXT,
)
PART = _object(field=TEXT, wanted=_listed(TEXT), value=NULL_TEXT, more=COUNT)
NEIGHBOUR = _object(id=ADDRESS, time=NULL_TEXT, text=TEXT, findings=_listed(ID))
STATED: dict[str, Any] = {  # what a finding states, wherever it is shown
    "id": ID,
    "time": TIME,
    "time_end": TIME,
    "detector": TEXT,
    "rule_id": TEXT,
    "rule_version": TEXT,
    "title": TEXT,
    "severity": _one_of(*SEVERITIES),
    "techniques": _listed(TEXT),
    "tactics": _listed(TEXT),
    "source": _or_null(SOURCE),
    "target": _or_null(TARGET),
    "vector": _one_of(*VECTORS),
    "outcome": OUTCOME,
    "confidence": _one_of(*CONFIDENCES),
}
WHY = _object(
    **STATED,
    suppressed_by=NULL_TEXT,
    suppressed_because=NULL_TEXT,
    annotation=_or_null(ANNOTATION),
    rule={
        **_object(
            path=NULL_TEXT,
            text=NULL_TEXT,
            detection=_or_null(_listed(COUNT, minItems=2, maxItems=2)),
            marks=_listed(_object(line=COUNT, begin=COUNT, end=COUNT, state=_one_of("held", "ruled_out"))),
        ),
        "description": "The rule as written; lines count from 1, columns from 0; detection: first and last line",
    },
    because={"description": "the tree of what matched where, as findings.why"},
    values=_listed(
        _object(
            selection=NULL_TEXT,
            field=NULL_TEXT,
            column=NULL_TEXT,
            patterns=_listed(TEXT),
            value=NULL_TEXT,
            decoded=_or_null(_object(steps=_listed(TEXT), text=TEXT, limit_hit=NULL_TEXT)),
        )
    ),
    nearly=_listed(_object(name=TEXT, filter=NULL_TEXT, held=_listed(PART), missing=PART)),
    otherwise=_listed(TEXT),
    events=_listed(_object(time=TIME, id=ADDRESS, matched=_listed(TEXT))),
    series=_or_null(
        _object(
            of=TEXT,
            begin=TIME,
            bucket_seconds=COUNT,
            counts=_counts(_listed(COUNT)),
            measure=TEXT,
            reached=_listed(COUNT),
            threshold=_or_null({"type": "number"}),
            moments=_listed(_object(what=TEXT, time=TIME)),
            cut=TRUTH,
        )
    ),
    also=_listed(_object(id=ID, rule_id=TEXT, title=TEXT, severity=_one_of(*SEVERITIES), detector=TEXT, records=COUNT)),
    records=_listed(
        _object(
            id=ADDRESS,
            table=TEXT,
            time=TIME,
            path=TEXT,
            member_path=NULL_TEXT,
            format=TEXT,
            offset=COUNT,
            length=COUNT,
            sha256=SHA256,
            content=NULL_TEXT,
            fields=_counts(TEXT),
            before=_listed(NEIGHBOUR),
            after=_listed(NEIGHBOUR),
        )
    ),
    addresses=_listed(ADDRESS, maxItems=1000),
    record_count=COUNT,
    notes=_listed(TEXT),
)
MARKED = _object(
    kind=_one_of(*SUBJECT_KINDS),
    subject=TEXT,
    **ANNOTATION["properties"],
    line=COUNT,
    present=TRUTH,
)
RANKED = _object(kind=TEXT, value=TEXT, signal=COUNT, succeeded=COUNT, rules=COUNT, findings=COUNT)
LOG_SOURCE = _object(
    table=TEXT,
    host=NULL_TEXT,
    records=COUNT,
    undated=COUNT,
    first=TIME,
    last=TIME,
    longest_silence_seconds=COUNT,
    silence_from=TIME,
    silence_to=TIME,
    silence_is_unusual=TRUTH,
)
BLIND_SPOT = _object(kind=_one_of(*BLIND_SPOTS), where=TEXT, says=TEXT)
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
STAMP = _object(file=TEXT, time=TIME, accuracy_seconds=_or_null(NUMBER), authority=NULL_TEXT, serial=TEXT, proven=TRUTH)
STREAM = _object(
    **LOG_SOURCE["properties"],
    stream=NULL_TEXT,
    unusual_silences=_listed(
        _object(**{"from": TIME, "to": TIME}, seconds=COUNT, expected_records=NUMBER, over_weekend=TRUTH)
    ),
    numbers_over_silence=_or_null(_one_of("contiguous", "missing")),
)
NUMBERING = _object(
    table=TEXT,
    host=NULL_TEXT,
    stream=NULL_TEXT,
    evidence=_or_null(SHA256),
    verdict=_one_of(*NUMBERING_VERDICTS),
    says=TEXT,
    numbers=COUNT,
    lowest=COUNT,
    highest=COUNT,
    missing=COUNT,
    missing_within_evidence=COUNT,
    holes=COUNT,
    holes_within_evidence=COUNT,
    largest_holes=_listed(_object(first=COUNT, last=COUNT, after=TIME, before=TIME, within_evidence=TRUTH)),
    clock_falls=COUNT,
)
STOPPED = _object(
    act=TEXT,
    kind=_one_of(*STOPPED_KINDS),
    says=TEXT,
    table=TEXT,
    host=NULL_TEXT,
    who=NULL_TEXT,
    what=NULL_TEXT,
    times=COUNT,
    first=TIME,
    last=TIME,
    record=ADDRESS,
)
CLOCKS = _object(
    steps=_listed(
        _object(
            table=TEXT,
            host=NULL_TEXT,
            stream=NULL_TEXT,
            how=_one_of("set", "numbers", "lines"),
            before=TIME,
            after=TIME,
            seconds=INTEGER,
            record=_or_null(ADDRESS),
        )
    ),
    offsets=_listed(
        _object(
            one=TEXT,
            other=TEXT,
            kind=_one_of("connection", "logon", "request"),
            pairs=COUNT,
            seconds={**NUMBER, "description": "how far the clock of other is ahead of that of one"},
            spread=NUMBER,
            verdict=_one_of("agree", "disagree", "unclear"),
        )
    ),
    answer=TEXT,
)
TECHNIQUES = _object(
    could_be_seen=_or_null(_counts()),
    could_not_be_seen=_or_null(_counts()),
    could_count=_or_null(COUNT),
    could_not_count=_or_null(COUNT),
    lacking=NULL_TEXT,
)
ANSWERS = _object(
    looked_and_found_none=_listed(_object(what=TEXT, rules=COUNT)),
    no_log_exists=_listed(_object(what=TEXT, rules=COUNT, says=NULL_TEXT, readable=TRUTH)),
    lost_or_elsewhere=_listed(_object(what=TEXT, how=TEXT, says=TEXT)),
)
REQUEST = _object(
    request={"type": "integer", "minimum": 1},
    state=_one_of(*REQUEST_STATES),
    of=TEXT,
    what=TEXT,
    **{"from": TIME, "to": TIME},
    promised=TIME,
    note=NULL_TEXT,
    asked_at=TIME,
    asked_by=TEXT,
    received_at=TIME,
    received_by=NULL_TEXT,
    evidence=_listed(SHA256),
)
COVERAGE = _object(
    sources=_listed(LOG_SOURCE),
    source_count=COUNT,
    largest_blind_spot=_or_null(LOG_SOURCE),
    blind_spot=_or_null(BLIND_SPOT),
    worth=TEXT,
    own_networks=NULL_TEXT,
    rules=_or_null(COUNT),
    unusable_rules=_or_null(COUNT),
    notes=_listed(TEXT),
    blind_spots=_or_null(_listed(BLIND_SPOT)),
    streams=_or_null(_listed(STREAM)),
    stream_count=_or_null(COUNT),
    numbers=_or_null(_listed(NUMBERING)),
    unnumbered=_or_null(_listed(TEXT)),
    stopped=_or_null(_listed(STOPPED)),
    clocks=_or_null(CLOCKS),
    levels=_or_null(_listed(_object(check=TEXT, table=TEXT, host=NULL_TEXT, records=COUNT, says=TEXT))),
    files=_or_null(_listed(_object(kind=TEXT, path=TEXT, says=TEXT))),
    rule_states=_or_null(_counts()),
    techniques=_or_null(TECHNIQUES),
    answers=_or_null(ANSWERS),
    requests=_or_null(_listed(REQUEST)),
)
RAISED = _object(name=TEXT, findings=COUNT)
SIGNATURE = _object(
    finding=ID,
    rule_id=TEXT,
    tool=NULL_TEXT,
    title=TEXT,
    result=_one_of("known tool", "modified variant", "same weakness, unknown tool"),
    outcome=_one_of(*OUTCOMES),
    because=NULL_TEXT,
    confidence=_one_of(*CONFIDENCES),
    time=NULL_TEXT,
    source=_or_null(SOURCE),
    target=_or_null(TARGET),
    agree=_listed(TEXT),
    differ=_listed(TEXT),
)
SHARES = {
    **_counts(_object(number=COUNT, share=_or_null({"type": "number", "minimum": 0}))),
    "description": "per label, unknown among them; shares by category may sum to more than 1",
}
ORIGIN_SHARE = _object(
    measure=TEXT,
    number=COUNT,
    inside={**COUNT, "description": "from own and private addresses"},
    unknown=COUNT,
    total=COUNT,
    share=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
    share_of_outside=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
    sentence=TEXT,
    definition=TEXT,
)
ORIGINS = _object(
    by=_object(
        **{
            unit: {
                **_object(total=COUNT),
                "properties": {"total": COUNT, **dict.fromkeys(ORIGIN_GROUPS, SHARES)},
            }
            for unit in ORIGIN_UNITS
        }
    ),
    cloud_or_vpn=_object(cloud_providers=_listed(TEXT), **dict.fromkeys(ORIGIN_UNITS, ORIGIN_SHARE)),
    attempts_without_address=COUNT,
    connections_without_bytes=COUNT,
    definition=TEXT,
    sources=_listed(
        _object(
            source=TEXT,
            title=TEXT,
            kind=_one_of(*ORIGIN_KINDS),
            dated=TEXT,
            dated_by=_one_of(*DATED_BY),
            later={**TRUTH, "description": "from after some of the events: there is no version from before"},
            sha256=SHA256,
        )
    ),
)
SUMMARY = _object(
    run=TEXT,
    evidence=_object(files=COUNT, records=COUNT, kept=COUNT, rejected=COUNT),
    findings=COUNT,
    suppressed=COUNT,
    attempts=_object(
        total=COUNT,
        by_intent=_counts(),
        by_outcome=_counts(),
        by_vector=_counts(),
        definition=TEXT,
        at_gap=_object(**{"10": COUNT, "30": COUNT, "120": COUNT}),
        sources=COUNT,
        top_sources=_listed(RANKED),
        top_targets=_listed(RANKED),
    ),
    campaigns=_or_null({"type": "array"}),
    origins=_or_null(ORIGINS),
    assets=_or_null(ANY_OBJECT),
    coverage=COVERAGE,
    judgement=_or_null(ANY_OBJECT),
    signatures=_or_null(_listed(SIGNATURE)),
    tuning=_or_null(_object(in_force=COUNT, suppressed=COUNT, severities_changed=COUNT, core_assets=_listed(RAISED))),
)
DIFFERENT_FINDING = _object(
    id=ID,
    rule_id=TEXT,
    title=TEXT,
    severity=_one_of(*SEVERITIES),
    time=TIME,
    source=_or_null(SOURCE),
    target=_or_null(TARGET),
)
TUNING = _object(
    id=TEXT,
    kind=_one_of(*TUNING_KINDS),
    scope=_one_of(*TUNING_SCOPES),
    about=_one_of(*TUNING_ABOUT),
    rules=_listed(TEXT),
    log_source={"type": "object", "additionalProperties": TEXT},
    detection=_or_null(ANY_OBJECT),
    severity=NULL_TEXT,
    reason=TEXT,
    until=_or_null({**TEXT, "format": "date"}),
    who=TEXT,
    at=TIME,
    filter={**ANY_OBJECT, "description": "the tuning as a Sigma filter"},
)
LISTED_TUNING = _object(**TUNING["properties"], state=_one_of(*TUNING_STATES), findings=COUNT, note=NULL_TEXT)
RETUNED = _object(
    action=_one_of("added", "removed"),
    tuning=TUNING,
    run=TEXT,
    findings_before=COUNT,
    findings=COUNT,
    suppressed=COUNT,
    severities_changed=COUNT,
    correlations_pending=NULL_TEXT,
)
RULE = _object(
    rule_id=NULL_TEXT,
    title=NULL_TEXT,
    path=TEXT,
    severity=NULL_TEXT,
    log_source=NULL_TEXT,
    state=_one_of(*STATES),
    reason=NULL_TEXT,
)
STEP = _object(
    label=TEXT,
    title=TEXT,
    technique=NULL_TEXT,
    verdict=_one_of("found", "missed", "not yet covered"),
    records=COUNT,
    found=COUNT,
    by=_listed(TEXT),
)

FINDING = _object(
    **STATED,
    why={**TEXT, "description": "JSON text: the tree of what matched where"},
    records=_listed(ADDRESS, maxItems=RECORDS_SHOWN),
    record_count=COUNT,
    annotation=_or_null(ANNOTATION),
)

SCHEMAS: dict[str, tuple[str, Schema]] = {
    "summary": ("casemate show summary --json, casemate investigate --json", SUMMARY),
    "coverage": ("casemate coverage --json, casemate show coverage --json", COVERAGE),
    "coverage_rule": (
        "casemate coverage --why RULE --json",
        _object(
            rule_id=NULL_TEXT,
            title=NULL_TEXT,
            path=TEXT,
            severity=NULL_TEXT,
            log_source=NULL_TEXT,
            state=_one_of(*STATES),
            reason=NULL_TEXT,
            techniques=_listed(TEXT),
            looked_at=_listed(
                _object(events=TEXT, table=TEXT, where=_listed(TEXT), records=COUNT, fields=_counts(_or_null(COUNT)))
            ),
            records=_or_null(COUNT),
            missing_fields=_listed(TEXT),
            refers_to=_listed(TEXT),
            findings=COUNT,
            answer=TEXT,
        ),
    ),
    "coverage_request": (
        "casemate coverage request add|received --json, one line of casemate coverage request list --json",
        REQUEST,
    ),
    "finding": ("one line of casemate show findings --json", FINDING),
    "suppressed_finding": (
        "one line of casemate show findings --suppressed --json",
        _object(**FINDING["properties"], tuning=TEXT, reason=TEXT),
    ),
    "attempt": (
        "one line of casemate show attempts --json",
        _object(
            id=ID,
            source=SOURCE,
            scope=_object(kind=TEXT, value=NULL_TEXT),
            vector=_one_of(*VECTORS),
            started=TIME,
            ended=TIME,
            intent=_one_of(*INTENTS),
            outcome=OUTCOME,
            findings={"type": "integer", "minimum": 1},
            gap_seconds=COUNT,
            finding_ids=_listed(ID),
            annotation=_or_null(ANNOTATION),
        ),
    ),
    "rules": (
        "casemate show rules --json",
        _object(rule_set=NULL_TEXT, loaded=COUNT, ran=COUNT, not_run=_listed(RULE), noted=_listed(RULE)),
    ),
    "measure": (
        "one line of casemate show measures --json",
        _object(measure=TEXT, version=COUNT, value=_or_null({"anyOf": [COUNT, _counts()]}), definition=TEXT),
    ),
    "row": ("one line of casemate query --json, casemate show rows --json: keys are the columns", ANY_OBJECT),
    "record": (
        "one line of casemate record --json",
        _object(
            id=ADDRESS,
            table=NULL_TEXT,
            path=TEXT,
            member_path=NULL_TEXT,
            format=TEXT,
            offset=COUNT,
            length=COUNT,
            sha256=SHA256,
            rejected=NULL_TEXT,
            content=TEXT,
        ),
    ),
    "custody_verify": (
        "casemate custody verify --json",
        _object(
            verified=TRUTH,
            problems=_listed(_object(where=TEXT, what=TEXT)),
            notes=_listed(TEXT),
            custody_lines=COUNT,
            parts=COUNT,
            blobs=COUNT,
            bytes=COUNT,
            head=TEXT,
            timestamps=_listed(_object(**STAMP["properties"], lines=COUNT)),
        ),
    ),
    "why": ("casemate why --json", WHY),
    "annotation": ("one line of casemate show annotations --json", MARKED),
    "mark_line": (
        "one line of casemate show annotations --history --json",
        _object(
            line=COUNT,
            time=TIME,
            by=TEXT,
            cleared=TRUTH,
            verdict=VERDICT,
            duplicate_of=NULL_TEXT,
            note=NULL_TEXT,
            tags=_listed(TEXT),
            untags=_listed(TEXT),
            subjects=_listed(_object(kind=_one_of(*SUBJECT_KINDS), subject=TEXT)),
        ),
    ),
    "mark": (
        "casemate mark --json",
        _object(
            marked=_listed(_object(kind=_one_of(*SUBJECT_KINDS), subject=TEXT, annotation=_or_null(ANNOTATION))),
            following=COUNT,
        ),
    ),
    "init": ("casemate init --json", _object(case=TEXT, settings=TEXT)),
    "doctor": (
        "casemate doctor --json",
        _object(
            well=TRUTH,
            checks=_listed(
                _object(name=TEXT, well=TRUTH, seen=TEXT, needed=TRUTH, purpose=NULL_TEXT, remedy=NULL_TEXT)
            ),
        ),
    ),
    "logon": (
        "casemate show logons --json, one line per user, source, host, service and kind of logon",
        _object(
            user=NULL_TEXT,
            domain=NULL_TEXT,
            source=NULL_TEXT,
            host=NULL_TEXT,
            service=NULL_TEXT,
            kind=NULL_TEXT,
            product=NULL_TEXT,
            successes=COUNT,
            failures=COUNT,
            unknown=COUNT,
            first=TIME,
            last=TIME,
            first_success=TIME,
            failures_before_success=_or_null(COUNT),
        ),
    ),
    "pivot": (
        "casemate show pivots --json, one line per value",
        _object(kind=_one_of(*FIELDS), value=TEXT, findings=COUNT, hosts=COUNT, records=COUNT, first=TIME, last=TIME),
    ),
    "stack": (
        "casemate show stack FIELD --json, one line per value",
        _object(value=TEXT, hosts=COUNT, records=COUNT, example_host=NULL_TEXT, first=TIME, last=TIME),
    ),
    "timeline": (
        "casemate show timeline --json, one line per record and event class",
        _object(
            time=TIME,
            class_name=TEXT,
            product=NULL_TEXT,
            host=NULL_TEXT,
            user=NULL_TEXT,
            source=NULL_TEXT,
            target=NULL_TEXT,
            status=NULL_TEXT,
            activity=NULL_TEXT,
            what=NULL_TEXT,
            evidence=SHA256,
            record=COUNT,
        ),
    ),
    "process": (
        "casemate show tree PID --json, one line per launch, from the root down",
        _object(
            host=NULL_TEXT,
            time=TIME,
            pid=COUNT,
            parent_pid=_or_null(COUNT),
            path=NULL_TEXT,
            command=NULL_TEXT,
            user=NULL_TEXT,
            evidence=SHA256,
            record=COUNT,
            depth=COUNT,
            asked=TRUTH,
        ),
    ),
    "rule_times": (
        "the key rule_times of casemate investigate --profile-rules --json",
        _object(
            statement=TEXT,
            seconds=SECONDS,
            fields_seconds=SECONDS,
            keywords_seconds=SECONDS,
            rules_seconds=SECONDS,
            rest_seconds=SECONDS,
            fields=_listed(_object(table=TEXT, field=TEXT, seconds=SECONDS, values=COUNT, patterns=COUNT, rules=COUNT)),
            rules=_listed(_object(rule_id=TEXT, title=TEXT, seconds=SECONDS, batches=COUNT, matches=COUNT)),
        ),
    ),
    "tune_change": ("casemate tune add|severity|remove --json", RETUNED),
    "tune_list": (
        "casemate tune list --json",
        _object(tunings=_listed(LISTED_TUNING), core_assets=_listed(RAISED), suppressed=COUNT),
    ),
    "tune_show": ("casemate tune show --json", LISTED_TUNING),
    "tune_test": (
        "casemate tune test --json",
        _object(
            tuning=TUNING,
            findings=COUNT,
            of_rule=COUNT,
            by_severity=_counts(),
            verdicts=_counts(),
            true_verdicts=COUNT,
            first=_listed(
                _object(
                    id=ID,
                    time=TIME,
                    severity=_one_of(*SEVERITIES),
                    title=TEXT,
                    source=_or_null(SOURCE),
                    target=_or_null(TARGET),
                    verdict=NULL_TEXT,
                )
            ),
            correlations=COUNT,
        ),
    ),
    "case_pack": (
        "casemate case pack|unpack --json",
        _object(place=TEXT, files=COUNT, bytes=COUNT, archive_bytes=_or_null(COUNT), head=SHA256, notes=_listed(TEXT)),
    ),
    "custody_seal": (
        "casemate custody seal --json",
        _object(
            key=TEXT,
            made=TRUTH,
            case=_or_null(SHA256),
            lines=_or_null(COUNT),
            head=_or_null(SHA256),
            time=TIME,
            file=NULL_TEXT,
            timestamp=_or_null(_object(**STAMP["properties"], url=TEXT)),
            note=NULL_TEXT,
        ),
    ),
    "rerun": (
        "casemate rerun --json",
        _object(
            identical=TRUTH,
            run=TEXT,
            run_again=TEXT,
            evidence=COUNT,
            findings=COUNT,
            notes=_listed(TEXT),
            tables=_listed(
                _object(
                    table=TEXT,
                    identical=TRUTH,
                    rows=COUNT,
                    rows_again=COUNT,
                    hash=SHA256,
                    hash_again=SHA256,
                    missing=COUNT,
                    added=COUNT,
                    first_missing=_listed(ANY_OBJECT),
                    first_added=_listed(ANY_OBJECT),
                )
            ),
        ),
    ),
    "intel_status": (
        "casemate intel status --json",
        _object(
            folder=TEXT,
            datasets=_listed(
                _object(
                    name=_one_of(OWN_RULES, *DATASETS),
                    installed=TRUTH,
                    version=NULL_TEXT,
                    dated=NULL_TEXT,
                    source=NULL_TEXT,
                    fetched_at=NULL_TEXT,
                    sha256=_or_null(SHA256),
                    counts=_or_null(_counts()),
                    kept_versions=COUNT,
                    age_days=_or_null({"type": "integer"}),
                    stale=_or_null(TRUTH),
                    profiles=_or_null(_counts()),
                    technique_tags=_or_null(
                        _object(tags=COUNT, **dict.fromkeys(STATUSES, COUNT), unmapped_ids=_listed(TEXT))
                    ),
                )
            ),
            origins=_listed(
                _object(
                    source=TEXT,
                    title=TEXT,
                    kind=_one_of(*ORIGIN_KINDS),
                    age_days=COUNT,
                    stale=TRUTH,
                    versions=_listed(
                        _object(
                            version=TEXT,
                            dated=TEXT,
                            dated_by=_one_of(*DATED_BY),
                            came_from=TEXT,
                            fetched_at=TEXT,
                            sha256=SHA256,
                            counts=_counts(),
                        )
                    ),
                )
            ),
        ),
    ),
    "origins": ("casemate show origins --json", _or_null(ORIGINS)),
    "origins_address": (
        "casemate show origins --address ADDRESS --json",
        _or_null(
            _object(
                address=TEXT,
                as_looked_up={**_listed(ANY_OBJECT), "description": "its rows of the table origins, one per span"},
                blocks=_listed(_object(source=TEXT, dated=TEXT, came_from=TEXT, block=TEXT, says=ANY_OBJECT)),
            )
        ),
    ),
    "intel_diff": (
        "casemate intel diff --json",
        _object(
            old=_object(name=TEXT, rules=COUNT),
            new=_object(name=TEXT, rules=COUNT),
            added=COUNT,
            changed=COUNT,
            removed=COUNT,
            metadata=COUNT,
            rules=_listed(
                _object(
                    id=TEXT,
                    title=TEXT,
                    kind=TEXT,
                    path=TEXT,
                    change=_one_of("added", "changed", "removed", "metadata"),
                    parts=_listed(TEXT),
                    level_before=NULL_TEXT,
                    level=NULL_TEXT,
                )
            ),
            case=_or_null(
                _object(
                    gained=COUNT,
                    lost=COUNT,
                    same=COUNT,
                    severity_changed=COUNT,
                    rules=_listed(_object(rule_id=TEXT, title=TEXT, change=TEXT, gained=COUNT, lost=COUNT)),
                    first_gained=_listed(DIFFERENT_FINDING),
                    first_lost=_listed(DIFFERENT_FINDING),
                    not_compiled=_listed(_object(rule_id=TEXT, reason=TEXT)),
                )
            ),
        ),
    ),
    "intel_update": (
        "casemate intel update --json",
        _listed(
            _object(
                name={**TEXT, "description": f"{', '.join(DATASETS)}, or origins/SOURCE"},
                new=TRUTH,
                version=NULL_TEXT,
                sha256=_or_null(SHA256),
                counts=_or_null(_counts()),
                error=NULL_TEXT,
            )
        ),
    ),
    "export": (
        "casemate export --json",
        _object(
            to=_one_of(*TARGETS),
            only=_one_of(*SCOPES),
            findings=COUNT,
            records=COUNT,
            files=_listed(_object(path=TEXT, bytes=COUNT, sha256=SHA256)),
            notes=_listed(TEXT),
        ),
    ),
    "scan": (
        "casemate scan --json, one line per file",
        _object(
            path=TEXT,
            verdict=_one_of(*ARTIFACT_VERDICTS),
            reasons=_listed(
                _object(
                    code=TEXT,
                    text=TEXT,
                    severity=_one_of(*ARTIFACT_SEVERITIES),
                    path_inside=TEXT,
                    offset=_or_null(COUNT),
                    technique=NULL_TEXT,
                    loader_effect=TEXT,
                )
            ),
            format=TEXT,
            sha256=_or_null(SHA256),
            bytes=COUNT,
            bytes_skipped=COUNT,
            reasons_left_off=COUNT,
            confined=_or_null(TRUTH),
        ),
    ),
    "gate_check": (
        "casemate gate check --json, one line of the audit record (which adds previous), POST /decide of gate serve",
        _object(
            event=_one_of("gate_decision"),
            time=TIME,
            allowed=TRUTH,
            path=TEXT,
            digest=SHA256,
            bytes=COUNT,
            files=COUNT,
            verdicts=_counts(),
            destination=NULL_TEXT,
            policy=TEXT,
            policy_sha256=SHA256,
            approved_by=_listed(TEXT),
            rules=_listed(_object(rule=_one_of(*GATE_RULES), passed=TRUTH, text=TEXT, seconds=NUMBER)),
            refused_by=_listed(_one_of(*GATE_RULES)),
            seconds=NUMBER,
        ),
    ),
    "gate_sign": ("casemate gate sign --json", _object(path=TEXT, signature=TEXT, bytes=COUNT)),
    "gate_verify": ("casemate gate verify --json", _object(path=TEXT, verified=TRUTH, why=NULL_TEXT, files=COUNT)),
    "gate_approve": (
        "casemate gate approve --json, one line of a file of approvals",
        _object(artifact=SHA256, by=TEXT, time=TIME, destination=NULL_TEXT),
    ),
    "gate_cost": (
        "casemate gate cost --json",
        _object(
            decisions=COUNT,
            held_back=COUNT,
            share_held_back=_or_null(NUMBER),
            bytes=COUNT,
            seconds=NUMBER,
            seconds_per_artifact=_object(
                mean=_or_null(NUMBER), median=_or_null(NUMBER), p95=_or_null(NUMBER), most=_or_null(NUMBER)
            ),
            rules=_counts(
                _object(
                    asked=COUNT,
                    held_back=COUNT,
                    only=COUNT,
                    seconds=NUMBER,
                    share_held_back=NUMBER,
                    seconds_per_artifact=NUMBER,
                )
            ),
            broken=_listed(_object(file=TEXT, line=COUNT, what=TEXT)),
        ),
    ),
    "report": (
        "casemate report --json",
        _object(path=TEXT, bytes=COUNT, sha256=SHA256, findings=COUNT, findings_in_detail=COUNT, records_shown=COUNT),
    ),
    "demo": (
        "casemate demo --json",
        _object(
            folder=TEXT,
            records=COUNT,
            score=_object(
                steps=_listed(STEP),
                decoys_accused=_listed(STEP),
                decoys=COUNT,
                ordinary_accused=_counts(),
                benign_records=COUNT,
                missing_logs_seen=TRUTH,
                holes=_listed(_object(label=TEXT, title=TEXT, found=TRUTH, said=NULL_TEXT)),
                clocks_accused=_listed(TEXT),
                noise=_or_null(
                    _object(title=TEXT, records=COUNT, found=COUNT, by=_listed(TEXT), where=TEXT, reason=TEXT)
                ),
            ),
            summary=SUMMARY,
        ),
    ),
}
"""By file name: which output it is of, and the schema."""


def published(name: str) -> Schema:
    """The schema of that name as it is published."""
    title, schema = SCHEMAS[name]
    return {"$schema": DIALECT, "title": title, "description": DESCRIPTION, **schema}
