"""The rows of the tables ``origins`` and ``origin_categories``: sources of attempts with what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casemate.intel.origins_blocks import Blocks
from casemate.intel.origins_store import Source, Version
from casemate.origins.addresses import parse
from casemate.origins.answers import Answer, answer_arrays
from casemate.origins.index import OriginIndex
from casemate.origins.spans import Spans
from casemate.schema.origins import ANSWER, ORIGIN_CATEGORIES, ORIGINS

CLOUD_OR_VPN = "cloud_or_vpn"
NEITHER = "neither"
INSIDE = "inside"
UNKNOWN = "unknown"
WITHOUT_COUNTRY = ("own", "private", "documentation", "bogon")
"""Categories of addresses that stand in the place of a country nobody says."""
NUMBERS = ("attempts", "connections", "bytes", "without_bytes")
Load = Callable[[Version], Source]


@dataclass(frozen=True)
class OwnSpace:
    """The own address space for lookups: its intervals, and by what an address counts as own."""

    blocks: Blocks | None = None
    said_by: str = "case.toml"


@dataclass(frozen=True)
class OriginRows:
    """Rows of the two tables, and which versions were asked (with whether they are later than some event)."""

    origins: pa.Table
    categories: pa.Table
    versions: tuple[tuple[Version, bool], ...] = field(default=())


def origin_rows(attempts: pa.Table, traffic: pa.Table, spans: Spans, load: Load, own: OwnSpace) -> OriginRows:
    """Look up the sources of attempts, each as of the days on which it was active.

    Args:
        attempts: ``address, day, attempts``; traffic: ``address, day, connections, bytes, without_bytes``; days
            since 1970 (UTC), null where unknown.
        spans: of the origin data.
        load: gives a version with what it says.
        own: the own address space.
    """
    counted = _by_span(attempts, traffic, spans)
    indices = {span: _index(span, spans, load, own) for span in sorted(set(counted.column("span").to_pylist()))}
    pieces, category_pieces, asked = [], [], {}
    for span, index in indices.items():
        rows = counted.filter(pc.field("span") == span)
        # a source that is a network is looked up by its first address
        texts = [text.partition("/")[0] for text in rows.column("address").to_pylist()]
        numbers = index.lookup(parse(pa.array(texts, pa.string())))
        pieces.append(_origin_rows(rows, numbers, index.answers, span, spans))
        category_pieces.append(_category_rows(rows, numbers, index.answers))
        for version, later in spans.versions(span):
            key = (version.source, version.version)
            asked[key] = (version, later or asked.get(key, (version, False))[1])
    return OriginRows(
        pa.concat_tables([ORIGINS.empty_table(), *pieces]),
        pa.concat_tables([ORIGIN_CATEGORIES.empty_table(), *category_pieces]),
        tuple(asked[key] for key in sorted(asked)),
    )


def _by_span(attempts: pa.Table, traffic: pa.Table, spans: Spans) -> pa.Table:
    together = pa.concat_tables([attempts, traffic], promote_options="default")
    borders = np.array([(date.fromisoformat(day) - date(1970, 1, 1)).days for day in spans.days], np.int64)
    days = together.column("day")
    known = days.fill_null(1 << 40).to_numpy()
    placed = together.append_column("span", pa.array(np.searchsorted(borders, known, "right"), pa.int64()))
    for name in NUMBERS:
        filled = pc.fill_null(placed.column(name).cast(pa.int64()), 0)
        placed = placed.set_column(placed.schema.get_field_index(name), name, filled)
    summed = placed.group_by(["address", "span"]).aggregate([(name, "sum") for name in NUMBERS])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    return summed.sort_by([("address", "ascending"), ("span", "ascending")])


def _index(span: int, spans: Spans, load: Load, own: OwnSpace) -> OriginIndex:
    sources = [(load(version), later) for version, later in spans.versions(span)]
    return OriginIndex(sources, own.blocks, own.said_by)


def _origin_rows(rows: pa.Table, numbers: np.ndarray, answers: list[Answer], span: int, spans: Spans) -> pa.Table:
    used, places = np.unique(numbers, return_inverse=True)
    arrays = answer_arrays([answers[number] for number in used])
    labels = pa.array([label(answers[number]) for number in used])
    registered = pa.array([registered_to(answers[number]) for number in used], pa.string())
    taken = pa.array(places, pa.int64())
    columns = {
        "address": rows.column("address"),
        "span": rows.column("span"),
        "span_begins": _times(spans.begins(span), len(rows)),
        "span_ends": _times(spans.ends(span), len(rows)),
        **{field.name: arrays[field.name].take(taken) for field in ANSWER},
        "registered_to": registered.take(taken),
        CLOUD_OR_VPN: labels.take(taken),
        **{name: rows.column(name) for name in NUMBERS},
    }
    return pa.table([columns[field.name] for field in ORIGINS], schema=ORIGINS)


def _category_rows(rows: pa.Table, numbers: np.ndarray, answers: list[Answer]) -> pa.Table:
    said = {number: _categories(answers[number]) for number in set(numbers.tolist())}
    out = []
    for row, number in zip(rows.to_pylist(), numbers.tolist(), strict=True):
        out += [{**row, **one} for one in said[number]]
    return pa.Table.from_pylist(out, schema=ORIGIN_CATEGORIES)


def _categories(answer: Answer) -> list[dict[str, object]]:
    claims = {claim.value: claim for claim in reversed(answer.claims) if claim.what == "category"}
    found = [claims[name] for name in answer.categories]
    none: list[dict[str, object]] = [{"category": None, "source": None, "dated": None, "later": None}]
    return [
        {"category": one.value, "source": one.source, "dated": one.dated, "later": one.later} for one in found
    ] or none


def label(answer: Answer) -> str:
    """Whether an address counts for the share of cloud providers and VPN endpoints; own and private ones never do."""
    found = set(answer.categories)
    if not found:
        return UNKNOWN
    if found & {"own", "private"}:
        return INSIDE
    return CLOUD_OR_VPN if found & {"cloud", "vpn"} else NEITHER


def registered_to(answer: Answer) -> str | None:
    """The registered country; for addresses that have none and are special, what they are."""
    special = (name for name in WITHOUT_COUNTRY if name in answer.categories)
    return answer.registered_country or next(special, None)


def _times(moment: datetime | None, rows: int) -> pa.Array:
    return pa.array([moment] * rows, pa.timestamp("us", tz="UTC"))


def day_text(day: int) -> str:
    """``YYYY-MM-DD`` of a day since 1970."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
