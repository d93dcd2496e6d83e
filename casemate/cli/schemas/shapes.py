"""Shapes that several commands print."""

from __future__ import annotations

from casemate.cli.schemas.words import (
    ADDRESS,
    ANY_OBJECT,
    COUNT,
    ID,
    INTEGER,
    NULL_TEXT,
    NUMBER,
    SHA256,
    TEXT,
    TIME,
    TRUTH,
    an_object,
    counts,
    listed,
    one_of,
    or_null,
)
from casemate.detect.coverage.numbers import VERDICTS as NUMBERING_VERDICTS
from casemate.detect.coverage.stopped import KINDS as STOPPED_KINDS
from casemate.explore.blind_spots import KINDS as BLIND_SPOTS
from casemate.explore.coverage_requests import STATES as REQUEST_STATES
from casemate.intel.origins_sources import KINDS as ORIGIN_KINDS
from casemate.intel.origins_store import DATED_BY
from casemate.origins.measures import LABELS as ORIGIN_GROUPS
from casemate.origins.measures import UNITS as ORIGIN_UNITS
from casemate.schema.findings import CONFIDENCES, OUTCOMES, SOURCE_KINDS, TARGET_KINDS
from casemate.schema.rules import STATES

SOURCE = an_object(kind=one_of(*SOURCE_KINDS), value=NULL_TEXT)
TARGET = an_object(kind=one_of(*TARGET_KINDS), value=NULL_TEXT, service=NULL_TEXT)
RANKED = an_object(kind=TEXT, value=TEXT, signal=COUNT, succeeded=COUNT, rules=COUNT, findings=COUNT)
LOG_SOURCE = an_object(
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
BLIND_SPOT = an_object(kind=one_of(*BLIND_SPOTS), where=TEXT, says=TEXT)
STREAM = an_object(
    **LOG_SOURCE["properties"],
    stream=NULL_TEXT,
    unusual_silences=listed(
        an_object(**{"from": TIME, "to": TIME}, seconds=COUNT, expected_records=NUMBER, over_weekend=TRUTH)
    ),
    numbers_over_silence=or_null(one_of("contiguous", "missing")),
)
NUMBERING = an_object(
    table=TEXT,
    host=NULL_TEXT,
    stream=NULL_TEXT,
    evidence=or_null(SHA256),
    verdict=one_of(*NUMBERING_VERDICTS),
    says=TEXT,
    numbers=COUNT,
    lowest=COUNT,
    highest=COUNT,
    missing=COUNT,
    missing_within_evidence=COUNT,
    holes=COUNT,
    holes_within_evidence=COUNT,
    largest_holes=listed(an_object(first=COUNT, last=COUNT, after=TIME, before=TIME, within_evidence=TRUTH)),
    clock_falls=COUNT,
)
STOPPED = an_object(
    act=TEXT,
    kind=one_of(*STOPPED_KINDS),
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
CLOCKS = an_object(
    steps=listed(
        an_object(
            table=TEXT,
            host=NULL_TEXT,
            stream=NULL_TEXT,
            how=one_of("set", "numbers", "lines"),
            before=TIME,
            after=TIME,
            seconds=INTEGER,
            record=or_null(ADDRESS),
        )
    ),
    offsets=listed(
        an_object(
            one=TEXT,
            other=TEXT,
            kind=one_of("connection", "logon", "request"),
            pairs=COUNT,
            seconds={**NUMBER, "description": "how far the clock of other is ahead of that of one"},
            spread=NUMBER,
            verdict=one_of("agree", "disagree", "unclear"),
        )
    ),
    answer=TEXT,
)
TECHNIQUES = an_object(
    could_be_seen=or_null(counts()),
    could_not_be_seen=or_null(counts()),
    could_count=or_null(COUNT),
    could_not_count=or_null(COUNT),
    lacking=NULL_TEXT,
)
ANSWERS = an_object(
    looked_and_found_none=listed(an_object(what=TEXT, rules=COUNT)),
    no_log_exists=listed(an_object(what=TEXT, rules=COUNT, says=NULL_TEXT, readable=TRUTH)),
    lost_or_elsewhere=listed(an_object(what=TEXT, how=TEXT, says=TEXT)),
)
REQUEST = an_object(
    request={"type": "integer", "minimum": 1},
    state=one_of(*REQUEST_STATES),
    of=TEXT,
    what=TEXT,
    **{"from": TIME, "to": TIME},
    promised=TIME,
    note=NULL_TEXT,
    asked_at=TIME,
    asked_by=TEXT,
    received_at=TIME,
    received_by=NULL_TEXT,
    evidence=listed(SHA256),
)
COVERAGE = an_object(
    sources=listed(LOG_SOURCE),
    source_count=COUNT,
    largest_blind_spot=or_null(LOG_SOURCE),
    blind_spot=or_null(BLIND_SPOT),
    worth=TEXT,
    own_networks=NULL_TEXT,
    rules=or_null(COUNT),
    unusable_rules=or_null(COUNT),
    notes=listed(TEXT),
    blind_spots=or_null(listed(BLIND_SPOT)),
    streams=or_null(listed(STREAM)),
    stream_count=or_null(COUNT),
    numbers=or_null(listed(NUMBERING)),
    unnumbered=or_null(listed(TEXT)),
    stopped=or_null(listed(STOPPED)),
    clocks=or_null(CLOCKS),
    levels=or_null(listed(an_object(check=TEXT, table=TEXT, host=NULL_TEXT, records=COUNT, says=TEXT))),
    files=or_null(listed(an_object(kind=TEXT, path=TEXT, says=TEXT))),
    rule_states=or_null(counts()),
    techniques=or_null(TECHNIQUES),
    answers=or_null(ANSWERS),
    requests=or_null(listed(REQUEST)),
)
RAISED = an_object(name=TEXT, findings=COUNT)
SIGNATURE = an_object(
    finding=ID,
    rule_id=TEXT,
    tool=NULL_TEXT,
    title=TEXT,
    result=one_of("known tool", "modified variant", "same weakness, unknown tool"),
    outcome=one_of(*OUTCOMES),
    because=NULL_TEXT,
    confidence=one_of(*CONFIDENCES),
    time=NULL_TEXT,
    source=or_null(SOURCE),
    target=or_null(TARGET),
    agree=listed(TEXT),
    differ=listed(TEXT),
)
SHARES = {
    **counts(an_object(number=COUNT, share=or_null({"type": "number", "minimum": 0}))),
    "description": "per label, unknown among them; shares by category may sum to more than 1",
}
ORIGIN_SHARE = an_object(
    measure=TEXT,
    number=COUNT,
    inside={**COUNT, "description": "from own and private addresses"},
    unknown=COUNT,
    total=COUNT,
    share=or_null({"type": "number", "minimum": 0, "maximum": 1}),
    share_of_outside=or_null({"type": "number", "minimum": 0, "maximum": 1}),
    sentence=TEXT,
    definition=TEXT,
)
ORIGINS = an_object(
    by=an_object(
        **{
            unit: {
                **an_object(total=COUNT),
                "properties": {"total": COUNT, **dict.fromkeys(ORIGIN_GROUPS, SHARES)},
            }
            for unit in ORIGIN_UNITS
        }
    ),
    cloud_or_vpn=an_object(cloud_providers=listed(TEXT), **dict.fromkeys(ORIGIN_UNITS, ORIGIN_SHARE)),
    attempts_without_address=COUNT,
    connections_without_bytes=COUNT,
    definition=TEXT,
    sources=listed(
        an_object(
            source=TEXT,
            title=TEXT,
            kind=one_of(*ORIGIN_KINDS),
            dated=TEXT,
            dated_by=one_of(*DATED_BY),
            later={**TRUTH, "description": "from after some of the events: there is no version from before"},
            sha256=SHA256,
        )
    ),
)
SUMMARY = an_object(
    run=TEXT,
    evidence=an_object(files=COUNT, records=COUNT, kept=COUNT, rejected=COUNT),
    findings=COUNT,
    suppressed=COUNT,
    attempts=an_object(
        total=COUNT,
        by_intent=counts(),
        by_outcome=counts(),
        by_vector=counts(),
        definition=TEXT,
        at_gap=an_object(**{"10": COUNT, "30": COUNT, "120": COUNT}),
        sources=COUNT,
        top_sources=listed(RANKED),
        top_targets=listed(RANKED),
    ),
    campaigns=or_null({"type": "array"}),
    origins=or_null(ORIGINS),
    assets=or_null(ANY_OBJECT),
    coverage=COVERAGE,
    judgement=or_null(ANY_OBJECT),
    signatures=or_null(listed(SIGNATURE)),
    tuning=or_null(an_object(in_force=COUNT, suppressed=COUNT, severities_changed=COUNT, core_assets=listed(RAISED))),
)
RULE = an_object(
    rule_id=NULL_TEXT,
    title=NULL_TEXT,
    path=TEXT,
    severity=NULL_TEXT,
    log_source=NULL_TEXT,
    state=one_of(*STATES),
    reason=NULL_TEXT,
)
