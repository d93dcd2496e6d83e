"""Origin data of one entry a line: delegation files of registries, Tor's exits, plain lists of blocks, AS numbers."""

from __future__ import annotations

import re

from casemate.intel.origins_blocks import Facts, parse_block
from casemate.intel.origins_mmdb import asn_of
from casemate.intel.origins_parsed import Parsed, category_of, day_of, lines_of, slug, source_name
from casemate.intel.origins_sources import OPERATORS, Publisher, publisher

REGISTRIES = ("afrinic", "apnic", "arin", "lacnic", "ripencc")
RIR_VERSION = re.compile(r"^2(?:\.\d+)?\|([a-z]+)\|(\d+)\|\d*\|(\d*)\|(\d*)\|", re.MULTILINE)
RIR_RECORD = re.compile(r"^(afrinic|apnic|arin|lacnic|ripencc|iana)\|[A-Za-z]{0,2}\|(?:ipv4|ipv6|asn)\|", re.MULTILINE)
UNREGISTERED = ("available", "reserved")
"""Statuses of blocks that nobody holds: no traffic should come from there."""
COUNTRY_FILE = re.compile(
    r"(?:^|/)(?:country/)?([a-z]{2})(?:/ipv[46](?:-aggregated)?|-aggregated|/aggregated)?[.](?:txt|zone|cidr|netset)$"
)


def read_delegated(text: str) -> Parsed:
    """RIR statistics exchange format: ``registry|cc|type|start|value|date|status[|opaque-id]``.

    https://www.apnic.net/about-apnic/corporate-documents/documents/resource-guidelines/rir-statistics-exchange-format/
    """
    version = RIR_VERSION.search(text[:65536])
    registries: set[str] = set()
    parsed = Parsed("", "", "registry")
    if version is not None:
        parsed.dated = day_of(version[4]) or day_of(version[2])
    for line in lines_of(text):
        parts = line.split("|")
        if RIR_VERSION.match(line) or (len(parts) >= 6 and parts[5] == "summary"):
            continue
        parsed.lines += 1
        try:
            registry, country, kind, start, value, _, status = parts[:7]
            if kind == "asn":
                continue  # says who holds an AS number, not an address
            if kind == "ipv4":
                low = parse_block(start)
                block = (4, low[1], low[1] + int(value) - 1)
                if low[0] != 4 or int(value) <= 0 or block[2] >= 1 << 32:
                    raise ValueError(line)
            elif kind == "ipv6":
                block = parse_block(f"{start}/{int(value)}")
            else:
                raise ValueError(line)
        except ValueError:
            parsed.reject(line)
            continue
        registries.add(registry)
        free = status.strip().lower() in UNREGISTERED
        named = country.upper() if len(country) == 2 and country.isalpha() and not free else None
        parsed.blocks.add(
            block,
            Facts(
                registry=registry if registry in REGISTRIES else None,
                country=None if named == "ZZ" else named,
                categories=("bogon",) if free else (),
            ),
        )
    one = next(iter(registries)) if len(registries) == 1 else version[1] if version else "several"
    parsed.source = f"rir-{slug(one)}"
    known = publisher(parsed.source)
    parsed.title = known.title if known else f"delegation file of {one}"
    return parsed


def read_tor_exits(text: str) -> Parsed:
    """``exit-addresses`` of the Tor project: blocks of ExitNode, Published, LastStatus, ExitAddress lines."""
    parsed = Parsed("tor", "Tor exit addresses", "service")
    days = []
    for line in lines_of(text):
        name, _, rest = line.partition(" ")
        if name == "ExitAddress":
            parsed.add(rest.split(" ")[0], Facts(operator="Tor", categories=("tor",)))
        elif name == "LastStatus":
            days.append(day_of(rest))
    parsed.dated = max((day for day in days if day), default=None)
    return parsed


def read_plain(path: str, text: str, known: Publisher | None) -> Parsed:
    """One block a line, perhaps with a comment behind it."""
    country = COUNTRY_FILE.search(path.lower())
    if country is not None and known is None:
        code = country[1].upper()
        parsed, facts = Parsed("rir-country", "blocks per registered country", "countries"), Facts(country=code)
    elif known is not None and known.category is not None:
        parsed = Parsed(known.name, known.title, known.kind)
        facts = Facts(operator=known.operator, categories=(known.category,))
    else:
        category, words = category_of(path)
        operator = next((OPERATORS[word] for word in words if word in OPERATORS), None)
        name = "tor" if category == "tor" else source_name(path)
        parsed, facts = Parsed(name, f"list {name}", "service"), Facts(operator=operator, categories=(category,))
    for line in lines_of(text):
        parsed.add(re.split(r"[\s#;,]", line, maxsplit=1)[0], facts)
    return parsed


def read_systems(path: str, text: str) -> Parsed:
    """One AS number a line with a comment behind it: every address announced by it is of the category."""
    category, _ = category_of(path)
    name = source_name(path)
    parsed = Parsed(name, f"list {name} of AS numbers", "service")
    for line in lines_of(text):
        parsed.lines += 1
        number, _, comment = line.partition("#")
        asn = asn_of(number.strip().split()[0])
        if asn is None:
            parsed.reject(line)
            continue
        parsed.systems[asn] = Facts(operator=" ".join(comment.split())[:200] or None, asn=asn, categories=(category,))
    return parsed
