"""Origins of a case: looked up again, or as the last investigation stored them, and what is told of them."""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ibis
import orjson

from casemate import origins as room
from casemate.case import CUSTODY, Case
from casemate.engine.measures import Value, values
from casemate.engine.protocol import Engine
from casemate.errors import BadInput
from casemate.evidence.custody import intact_lines
from casemate.explore.runs import last_run
from casemate.explore.tables import events_there, native_filled, stored_tables
from casemate.explore.traffic import traffic_once
from casemate.intel.origins_blocks import BlockBuilder, Facts, block_text, parse_block
from casemate.intel.origins_store import Source, Version, any_installed, facts_from, load, versions
from casemate.origins.measures import MEASURES, UNITS
from casemate.origins.rows import CLOUD_OR_VPN, INSIDE, UNKNOWN, OriginRows, OwnSpace, origin_rows
from casemate.origins.spans import spans
from casemate.origins.special import own_blocks
from casemate.origins.traffic import attempts_by_day, traffic_by_day
from casemate.schema.ocsf import NETWORK_ACTIVITY
from casemate.settings import PRIVATE_NETWORKS
from casemate.views import ocsf_tables

PHASE = "origins"
ORIGINS_TABLE, CATEGORIES_TABLE, FILES_TABLE = "origins", "origin_categories", "origin_files"
NOT_INSTALLED = (
    "no origin data is installed: 'casemate intel update origins' fetches it from the registries and publishers, "
    "'casemate intel update origins --from PATH' takes files"
)
DEFINITION = (
    "origins of malicious traffic: what registries and lists said of the source addresses of attempts as of the day "
    "of the attempt or connection. A registration is a property of a block of addresses: it is no location and no "
    "nationality. Shares by category may sum to more than the whole, since an address may have several"
)
SENTENCE = (
    "{percent} % of malicious traffic (by {unit}) came from blocks registered to {providers} and "
    "commercial VPN endpoints"
)


@dataclass(frozen=True)
class CaseOrigins:
    """The two tables of origins of a case, and the versions that were asked.

    Args:
        tables: ``origins`` and ``origin_categories``.
        sources: the versions asked, as plain values, ``later`` where one is from after some of the events.
        stored: whether these are the rows the last investigation stored.
    """

    tables: Mapping[str, ibis.Table]
    sources: tuple[Mapping[str, Any], ...]
    stored: bool


def has_origin_data(case: Case, root: Path | None = None) -> bool:
    """Whether this machine or the case has any origin data; reads nothing of it."""
    return any_installed(root) or bool(case.live_parts(FILES_TABLE))


def find_origins(case: Case, engine: Engine, root: Path | None = None) -> CaseOrigins | None:
    """The origins of a case: the stored rows if they are those of today, else looked up now; None without data.

    On a machine without origin data a case that was looked up elsewhere tells what was stored then.
    """
    elsewhere = not has_origin_data(case, root)
    if elsewhere and not case.live_parts(ORIGINS_TABLE):
        return None
    facts = stored_facts(case)
    inferred = (last_run(case) or {}).get("own_inferred", ())
    data = OriginData.of(case, engine, root, inferred)
    if facts is not None and (elsewhere or facts.get("inputs") == data.inputs):
        engine.use(stored_tables(case))
        tables = {name: engine.read(name) for name in (ORIGINS_TABLE, CATEGORIES_TABLE)}
        return CaseOrigins(tables, tuple(facts.get("versions", ())), stored=True)
    rows = data.rows(case, engine)
    tables = {ORIGINS_TABLE: ibis.memtable(rows.origins), CATEGORIES_TABLE: ibis.memtable(rows.categories)}
    return CaseOrigins(tables, tuple(version_json(*one) for one in rows.versions), stored=False)


def stored_facts(case: Case) -> dict[str, Any] | None:
    """What the custody log says of the stored rows: their inputs and the versions asked."""
    found = None
    for line in intact_lines(case.path / CUSTODY):
        facts = line.facts.get("facts", {}) if line.kind == "commit" else {}
        if facts.get("phase") == PHASE:
            found = dict(facts)
    return found


@dataclass(frozen=True)
class OriginData:
    """The origin data that a case is looked up in: installed versions, its own files, its own networks."""

    installed: Mapping[str, Sequence[Version]]
    loaded: Mapping[str, Source]
    own: tuple[str, ...]
    own_by: str
    inputs: str

    @classmethod
    def of(cls, case: Case, engine: Engine, root: Path | None, inferred: Sequence[str]) -> OriginData:
        """What there is now.

        Args:
            root: Casemate's data folder; the user's when None.
            inferred: own addresses that were inferred, where the case's settings name none.
        """
        loaded = case_sources(case, engine)
        installed: dict[str, Sequence[Version]] = dict(versions(root))
        for name, source in loaded.items():
            installed[name] = (source.version,)
        given = case.settings.own != PRIVATE_NETWORKS
        own = tuple(case.settings.own) if given else tuple(inferred)
        stored = stored_tables(case)
        parts = [part.sha256 for name in ("attempts", *native_filled(stored)) for part in case.live_parts(name)]
        listed = [(one.source, one.version, one.sha256) for kept in installed.values() for one in kept]
        inputs = hashlib.sha256(repr((_code(), sorted(listed), own, parts)).encode()).hexdigest()[:32]
        return cls(installed, loaded, own, "case.toml" if given else "inferred", inputs)

    def rows(self, case: Case, engine: Engine) -> OriginRows:
        """Look the sources of the case's attempts up."""
        stored = stored_tables(case)
        engine.use(stored)
        attempts = engine.read("attempts")
        filled = native_filled(stored)
        there = events_there(engine, filled)
        network = ocsf_tables(engine.read, filled, (NETWORK_ACTIVITY,), events=there)[NETWORK_ACTIVITY.name]
        network = traffic_once(engine, stored, {NETWORK_ACTIVITY.name: network})[NETWORK_ACTIVITY.name]
        counted = engine.collect(attempts_by_day(attempts))
        traffic = engine.collect(traffic_by_day(attempts, network))
        own = OwnSpace(own_blocks(self.own) if self.own else None, self.own_by)
        return origin_rows(counted, traffic, spans(self.installed), self.load, own)

    def load(self, version: Version) -> Source:
        """A version with what it says, from the case or from the store."""
        held = self.loaded.get(version.source)
        return held if held is not None and held.version == version else load(version)


@cache
def _code() -> str:
    """Hash of the source of the room: another version of Casemate looks up anew."""
    digester = hashlib.sha256()
    for path in sorted(Path(room.__file__).parent.glob("*.py")):
        digester.update(path.read_bytes())
    return digester.hexdigest()


def case_sources(case: Case, engine: Engine) -> dict[str, Source]:
    """The origin data that was given for this case alone (``investigate --origins``), by source."""
    if not case.live_parts(FILES_TABLE):
        return {}
    engine.use(stored_tables(case))
    builders: dict[str, BlockBuilder] = {}
    systems: dict[str, dict[int, Facts]] = {}
    described: dict[str, Version] = {}
    for row in engine.collect(engine.read(FILES_TABLE)).to_pylist():
        name = row["source"]
        described[name] = Version(
            name, row["title"], row["kind"], f"{row['dated']}-{row['sha256'][:12]}", row["dated"], row["dated_by"],
            row["came_from"], "", row["sha256"], 0,
        )  # fmt: skip
        facts = facts_from(orjson.loads(row["says"]))
        if row["system"] is not None:
            systems.setdefault(name, {})[row["system"]] = facts
        else:
            builders.setdefault(name, BlockBuilder()).add(parse_block(row["block"]), facts)
    return {
        name: Source(version, builders.get(name, BlockBuilder()).build(), systems.get(name, {}))
        for name, version in described.items()
    }


def file_rows(source: Source) -> list[dict[str, Any]]:
    """A source as rows of the table ``origin_files``."""
    version, blocks = source.version, source.blocks
    base = {
        name: getattr(version, name) for name in ("source", "title", "kind", "dated", "dated_by", "came_from", "sha256")
    }
    says = [orjson.dumps(list(vars(facts).values())).decode() for facts in blocks.facts]
    v4 = zip(blocks.v4_first.tolist(), blocks.v4_last.tolist(), blocks.v4_value.tolist(), strict=True)
    v6 = zip(blocks.v6_first.tolist(), blocks.v6_last.tolist(), blocks.v6_value.tolist(), strict=True)
    rows = [{**base, "block": block_text(4, first, last), "system": None, "says": says[at]} for first, last, at in v4]
    rows += [
        {**base, "block": block_text(6, _wide(first), _wide(last)), "system": None, "says": says[at]}
        for first, last, at in v6
    ]
    rows += [
        {**base, "block": None, "system": number, "says": orjson.dumps(list(vars(facts).values())).decode()}
        for number, facts in source.systems.items()
    ]
    return rows


def _wide(halves: Sequence[int]) -> int:
    return (halves[0] << 64) | halves[1]


def version_json(version: Version, later: bool) -> dict[str, Any]:
    """A version that was asked, as plain values."""
    return {
        "source": version.source,
        "title": version.title,
        "kind": version.kind,
        "dated": version.dated,
        "dated_by": version.dated_by,
        "later": later,
        "sha256": version.sha256,
    }


def origins_object(
    found: CaseOrigins, engine: Engine, groups: Sequence[str] = ("country", "category")
) -> dict[str, Any]:
    """The ``origins`` object of the summary and of ``show origins --json``.

    Args:
        groups: what shares are told by, of :data:`casemate.origins.measures.LABELS`.
    """
    attempts = engine.read("attempts")
    tables = {**found.tables, "attempts": attempts}
    wanted = [one for one in MEASURES if not one.name.rpartition("_by_")[1] or one.name.rpartition("_by_")[2] in groups]
    measured = values(wanted, tables, engine.collect)
    totals = _totals(found, engine)
    return {
        "by": {
            unit: {
                "total": totals[unit],
                **{group: _shares(measured[f"origins.{unit}_by_{group}"], totals[unit]) for group in groups},
            }
            for unit in UNITS
        },
        "cloud_or_vpn": _cloud_or_vpn(found, engine, measured, totals),
        "attempts_without_address": measured["origins.attempts_without_address"],
        "connections_without_bytes": totals["without_bytes"],
        "definition": DEFINITION,
        "sources": list(found.sources),
    }


def _totals(found: CaseOrigins, engine: Engine) -> dict[str, int]:
    table = found.tables[ORIGINS_TABLE]
    sums = {
        name: table[name].sum().fill_null(0).cast("int64")
        for name in ("attempts", "connections", "bytes", "without_bytes")
    }
    row = engine.collect(table.aggregate(addresses=table.address.nunique(), **sums)).to_pylist()[0]
    return {name: int(number) for name, number in row.items()}


def _shares(counted: Value, total: int) -> dict[str, dict[str, float | int | None]]:
    """Number and share per label, the largest first, unknown among them."""
    found = counted if isinstance(counted, dict) else {}
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return {label: {"number": number, "share": share(number, total)} for label, number in ordered}


def share(number: int, total: int) -> float | None:
    """A part of the whole, from 0 to 1; None of nothing."""
    return round(number / total, 6) if total else None


def _cloud_or_vpn(
    found: CaseOrigins, engine: Engine, measured: Mapping[str, Value], totals: Mapping[str, int]
) -> dict[str, Any]:
    table = found.tables[ORIGINS_TABLE]
    rows = engine.collect(table.filter(table[CLOUD_OR_VPN] == CLOUD_OR_VPN).select("cloud_providers").distinct())
    providers = sorted({name for row in rows.to_pylist() for name in row["cloud_providers"] or ()})
    shares: dict[str, Any] = {}
    for unit in UNITS:
        counted = measured[f"origins.cloud_or_vpn_{unit}"]
        parts = counted if isinstance(counted, dict) else {}
        number = parts.get(CLOUD_OR_VPN, 0)
        shares[unit] = {
            "measure": f"origins.cloud_or_vpn_{unit}",
            "number": number,
            "inside": parts.get(INSIDE, 0),
            "unknown": parts.get(UNKNOWN, 0),
            "total": totals[unit],
            "share": share(number, totals[unit]),
            "share_of_outside": share(number, totals[unit] - parts.get(INSIDE, 0)),
            "sentence": _sentence(unit, share(number, totals[unit]), len(providers)),
            "definition": definition_of(f"origins.cloud_or_vpn_{unit}"),
        }
    return {"cloud_providers": providers, **shares}


def _sentence(unit: str, part: float | None, providers: int) -> str:
    named = f"{providers:,} cloud provider{'s' * (providers != 1)}"
    return SENTENCE.format(percent=percent(part), unit=unit, providers=named)


def percent(part: float | None) -> str:
    """A share as people read it."""
    return "?" if part is None else f"{part * 100:.1f}"


def definition_of(name: str) -> str:
    """The definition of a measure of origins."""
    return next(one.definition for one in MEASURES if one.name == name)


def summary_origins(case: Case, engine: Engine, root: Path | None = None) -> dict[str, Any] | None:
    """The ``origins`` object, None where there is no origin data."""
    found = find_origins(case, engine, root)
    return None if found is None else origins_object(found, engine)


def address_report(case: Case, engine: Engine, address: str, root: Path | None = None) -> dict[str, Any] | None:
    """What every version of every source says of one address, with the blocks it lies in; None without data.

    Raises:
        BadInput: not an address.
    """
    try:
        version, number, _ = parse_block(address)
    except ValueError:
        raise BadInput(f"not an address: '{address}'") from None
    if not has_origin_data(case, root):
        return None
    data = OriginData.of(case, engine, root, (last_run(case) or {}).get("own_inferred", ()))
    said = []
    for kept in data.installed.values():
        for one in kept:
            said += _said(data.load(one), version, number)
    rows = [] if (found := find_origins(case, engine, root)) is None else _rows_of(found, engine, address)
    return {"address": address, "as_looked_up": rows, "blocks": said}


def _said(source: Source, version: int, number: int) -> list[dict[str, Any]]:
    blocks = source.blocks
    if version == 4:
        at = int(blocks.v4_first.searchsorted(number, "right")) - 1
        ends = (int(blocks.v4_first[at]), int(blocks.v4_last[at])) if at >= 0 else (1, 0)
        place = int(blocks.v4_value[at]) if at >= 0 else -1
    else:
        firsts = [_wide(pair) for pair in blocks.v6_first.tolist()]
        at = next((i for i in range(len(firsts) - 1, -1, -1) if firsts[i] <= number), -1)
        ends = (firsts[at], _wide(blocks.v6_last[at].tolist())) if at >= 0 else (1, 0)
        place = int(blocks.v6_value[at]) if at >= 0 else -1
    if not ends[0] <= number <= ends[1]:
        return []
    facts = blocks.facts[place]
    return [
        {
            "source": source.version.source,
            "dated": source.version.dated,
            "came_from": source.version.came_from,
            "block": block_text(version, *ends),
            "says": {name: value for name, value in vars(facts).items() if value not in (None, ())},
        }
    ]


def _rows_of(found: CaseOrigins, engine: Engine, address: str) -> list[dict[str, Any]]:
    table = found.tables[ORIGINS_TABLE]
    return engine.collect(table.filter(table.address == address).order_by("span")).to_pylist()
