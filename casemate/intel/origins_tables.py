"""Origin data as tables: CSV with a header line, geofeeds, and ranges with a country behind them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from casemate.errors import BadInput
from casemate.intel.origins_blocks import Facts, parse_block, range_of
from casemate.intel.origins_mmdb import asn_of
from casemate.intel.origins_parsed import PATH_DAY, Parsed, country_code, day_of, is_block, lines_of, slug, source_name
from casemate.intel.origins_sources import Publisher

BLOCK_COLUMNS = ("block", "network", "cidr", "prefix", "range", "ip_range", "ip_prefix", "subnet")
FIRST_COLUMNS = ("start_ip", "first", "ip_start", "start", "from")
LAST_COLUMNS = ("end_ip", "last", "ip_end", "end", "to")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    # what a table may say -> the names its column may have
    "country": ("registered_country", "registered country", "registration_country", "cc"),
    "located": ("country", "country_code", "located", "located_country"),
    "holder": ("holder", "registrant", "org", "organization", "organisation", "owner"),
    "operator": ("operator", "as_name", "as_organization", "autonomous_system_organization", "provider", "service"),
    "registry": ("registry", "rir"),
    "asn": ("asn", "as_number", "autonomous_system_number"),
    "categories": ("category", "categories", "type", "usage_type"),
}
CATEGORY_NAMES: Mapping[str, str] = {
    # other words for a category, in tables
    "hosting": "hosting", "datacenter": "hosting", "data center": "hosting", "data centre": "hosting", "dch": "hosting",
    "access": "access network", "access_network": "access network", "isp": "access network",
    "residential": "access network", "tor exit": "tor", "commercial vpn": "vpn",
}  # fmt: skip


def read_table(path: str, text: str, known: Publisher | None) -> Parsed:
    """CSV with a header line: a block (or first and last address), and columns of :data:`COLUMNS`."""
    body = "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    separator = max(",;\t", key=body.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(body), delimiter=separator)
    fields = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    columns = {say: next((fields[name] for name in names if name in fields), None) for say, names in COLUMNS.items()}
    found = {say: column for say, column in columns.items() if column is not None}
    place = next((fields[name] for name in BLOCK_COLUMNS if name in fields), None)
    first = next((fields[name] for name in FIRST_COLUMNS if name in fields), None)
    last = next((fields[name] for name in LAST_COLUMNS if name in fields), None)
    dated = fields.get("dated") or fields.get("date")
    name = known.name if known else slug(PATH_DAY.sub("", PurePosixPath(path).stem))
    parsed = Parsed(name, known.title if known else f"table {name}", "stated")
    days = []
    try:
        for row in rows:
            parsed.lines += 1
            values = {say: " ".join(str(row.get(column) or "").split())[:200] for say, column in found.items()}
            days.append(day_of(str(row.get(dated) or "")) if dated else None)
            try:
                if place is not None:
                    block = parse_block(str(row.get(place) or "").strip())
                else:
                    ends = [parse_block(str(row.get(end) or "").strip()) for end in (first, last)]
                    block = range_of(*ends)
            except (ValueError, TypeError):
                parsed.reject(str(row.get(place or first)))
                continue
            parsed.blocks.add(block, _facts_of_row(values))
    except csv.Error as error:
        raise BadInput(f"not a readable table: {error}", where=path) from error
    parsed.dated = max((day for day in days if day), default=None)
    return parsed


def _facts_of_row(values: Mapping[str, str]) -> Facts:
    categories = [word.strip().lower() for word in re.split(r"[|/+]", values.get("categories", "")) if word.strip()]
    return Facts(
        registry=values.get("registry") or None,
        country=country_code(values.get("country")),
        located=country_code(values.get("located")),
        holder=values.get("holder") or None,
        operator=values.get("operator") or None,
        asn=asn_of(values.get("asn", "")),
        categories=tuple(dict.fromkeys(CATEGORY_NAMES.get(word, word) for word in categories if word != "unknown")),
    )


def read_headerless(path: str, text: str, known: Publisher | None) -> Parsed:
    """A geofeed (RFC 8805: ``prefix,country,region,city,postal``), or ``first,last,country``: where, not whose."""
    provider = known if known is not None and known.category is not None else None
    name = provider.name if provider else source_name(path)
    parsed = Parsed(name, provider.title if provider else f"table {name}", provider.kind if provider else "stated")
    base = Facts(operator=provider.operator, categories=(provider.category or "",)) if provider else Facts()
    for row in csv.reader(lines_of(text)):
        parsed.lines += 1
        try:
            low = parse_block(row[0].strip())
            if len(row) > 1 and is_block(row[1]):
                block, country = range_of(low, parse_block(row[1].strip())), row[2] if len(row) > 2 else ""
            else:
                block, country = low, row[1] if len(row) > 1 else ""
        except (ValueError, IndexError):
            parsed.reject(",".join(row))
            continue
        parsed.blocks.add(block, replace(base, located=country_code(country)))
    return parsed
