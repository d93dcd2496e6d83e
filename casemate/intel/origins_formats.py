"""Files of origin data, told by their content: which source they are of, what they say, from which day.

Every reader takes the text of one file and adds its blocks to a builder; lines it cannot read are
counted as rejected, never dropped.  Plain lists say nothing of themselves: what they are is taken
from their path, by the tables of :mod:`casemate.intel.origins_sources`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import orjson

from casemate.errors import BadInput
from casemate.intel.origins_blocks import BlockBuilder, Facts, parse_block, range_of
from casemate.intel.origins_mmdb import asn_of, is_mmdb, read_mmdb
from casemate.intel.origins_sources import (
    CATEGORY_WORDS,
    OPERATORS,
    WARNING_PROVIDERS,
    WORDS_WITHOUT_MEANING,
    Publisher,
    provider_of_file,
    publisher,
)

REGISTRIES = ("afrinic", "apnic", "arin", "lacnic", "ripencc")
RIR_VERSION = re.compile(r"^2(?:\.\d+)?\|([a-z]+)\|(\d+)\|\d*\|(\d*)\|(\d*)\|", re.MULTILINE)
RIR_RECORD = re.compile(r"^(afrinic|apnic|arin|lacnic|ripencc|iana)\|[A-Za-z]{0,2}\|(?:ipv4|ipv6|asn)\|", re.MULTILINE)
UNREGISTERED = ("available", "reserved")
"""Statuses of blocks that nobody holds: no traffic should come from there."""
AS_LINE = re.compile(r"^AS(\d{1,10})\b", re.MULTILINE | re.IGNORECASE)
COUNTRY_FILE = re.compile(
    r"(?:^|/)(?:country/)?([a-z]{2})(?:/ipv[46](?:-aggregated)?|-aggregated|/aggregated)?[.](?:txt|zone|cidr|netset)$"
)
PATH_DAY = re.compile(r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
DAY = re.compile(r"(20\d\d|19[89]\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])")
US_DAY = re.compile(r"(20\d\d)-(\d\d)-(\d\d)-\d\d-\d\d-\d\d")
COMMENTS = ("#", ";", "//")
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


@dataclass
class Parsed:
    """One file as read.

    Args:
        source: name of the source in the store.
        title, kind: what it is, and one of :data:`casemate.intel.origins_sources.KINDS`.
        dated: its own day, ``YYYY-MM-DD``; None if it does not say.
        dated_by: ``content`` or ``name``.
        blocks: its blocks.
        systems: AS number -> what the source says of it.
        lines: entries in the file; rejected: those that could not be read, first: the first of them.
    """

    source: str
    title: str
    kind: str
    dated: str | None = None
    dated_by: str | None = None
    blocks: BlockBuilder = field(default_factory=BlockBuilder)
    systems: dict[int, Facts] = field(default_factory=dict)
    lines: int = 0
    rejected: int = 0
    first: str | None = None

    def add(self, text: str, facts: Facts) -> None:
        """Add the block that `text` names; count it as rejected where it names none."""
        self.lines += 1
        try:
            self.blocks.add(parse_block(text.strip()), facts)
        except ValueError:
            self.reject(text)

    def reject(self, text: str) -> None:
        """Count an entry that could not be read."""
        self.rejected += 1
        self.first = self.first or text.strip()[:100]


def read_file(path: str, content: bytes, wanted: Publisher | None = None) -> Parsed:
    """Read one file of origin data.

    Args:
        path: its path below what was given, for what the file itself does not say.
        content: unpacked.
        wanted: the publisher it was fetched from, where that is known.

    Raises:
        BadInput: none of the known formats, or one from which nothing can be taken.
    """
    if is_mmdb(content):
        parsed = _mmdb(content)
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadInput("neither text nor an MMDB file", where=path) from None
        parsed = _text(path, text, wanted or _publisher_of(path))
    if parsed.dated is None and (day := PATH_DAY.search(path)) is not None:
        parsed.dated, parsed.dated_by = "-".join(day.groups()), "name"
    elif parsed.dated is not None:
        parsed.dated_by = "content"
    if wanted is not None:
        parsed.source, parsed.title = wanted.name, wanted.title
    if parsed.lines and parsed.rejected == parsed.lines:
        raise BadInput(f"none of its {parsed.lines:,} entries can be read, first: {parsed.first!r}", where=path)
    return parsed


def _text(path: str, text: str, known: Publisher | None) -> Parsed:
    head = text.lstrip()[:1]
    if head in ("{", "["):
        return _json(path, text, known)
    beginning = text[:65536]
    if RIR_VERSION.search(beginning) or RIR_RECORD.search(beginning):
        return _delegated(text)
    if re.search(r"^ExitAddress \S+ ", beginning, re.MULTILINE):
        return _tor_exits(text)
    first = next((line for line in _lines(text)), "")
    names = [name.strip().strip('"').lower() for name in re.split(r"[,;\t]", first)]
    if any(name in (*BLOCK_COLUMNS, *FIRST_COLUMNS) for name in names) and not _is_block(names[0]):
        return _table(path, text, known)
    if "," in first and _is_block(first.split(",")[0]):
        return _headerless(path, text, known)
    if AS_LINE.match(first):
        return _systems(path, text)
    if first and _is_block(first.split()[0]):
        return _plain(path, text, known)
    raise BadInput("none of the formats of origin data", where=path)


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(COMMENTS):
            yield stripped


def _is_block(text: str) -> bool:
    try:
        parse_block(text.strip().strip('"'))
    except ValueError:
        return False
    return True


def _mmdb(content: bytes) -> Parsed:
    parsed = Parsed("", "", "database")
    database = read_mmdb(content, parsed.blocks)
    parsed.source = f"mmdb-{_slug(database.kind)}"
    parsed.title = f"{database.kind} (MMDB)"
    parsed.dated = database.built
    parsed.lines = len(parsed.blocks.v4) + len(parsed.blocks.v6)
    return parsed


def _delegated(text: str) -> Parsed:
    """RIR statistics exchange format: ``registry|cc|type|start|value|date|status[|opaque-id]``.

    https://www.apnic.net/about-apnic/corporate-documents/documents/resource-guidelines/rir-statistics-exchange-format/
    """
    version = RIR_VERSION.search(text[:65536])
    registries: set[str] = set()
    parsed = Parsed("", "", "registry")
    if version is not None:
        parsed.dated = _day(version[4]) or _day(version[2])
    for line in _lines(text):
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
    parsed.source = f"rir-{_slug(one)}"
    known = publisher(parsed.source)
    parsed.title = known.title if known else f"delegation file of {one}"
    return parsed


def _tor_exits(text: str) -> Parsed:
    """``exit-addresses`` of the Tor project: blocks of ExitNode, Published, LastStatus, ExitAddress lines."""
    parsed = Parsed("tor", "Tor exit addresses", "service")
    days = []
    for line in _lines(text):
        name, _, rest = line.partition(" ")
        if name == "ExitAddress":
            parsed.add(rest.split(" ")[0], Facts(operator="Tor", categories=("tor",)))
        elif name == "LastStatus":
            days.append(_day(rest))
    parsed.dated = max((day for day in days if day), default=None)
    return parsed


def _plain(path: str, text: str, known: Publisher | None) -> Parsed:
    """One block a line, perhaps with a comment behind it."""
    country = COUNTRY_FILE.search(path.lower())
    if country is not None and known is None:
        code = country[1].upper()
        parsed, facts = Parsed("rir-country", "blocks per registered country", "countries"), Facts(country=code)
    elif known is not None and known.category is not None:
        parsed = Parsed(known.name, known.title, known.kind)
        facts = Facts(operator=known.operator, categories=(known.category,))
    else:
        category, words = _category(path)
        operator = next((OPERATORS[word] for word in words if word in OPERATORS), None)
        name = "tor" if category == "tor" else _source_name(path)
        parsed, facts = Parsed(name, f"list {name}", "service"), Facts(operator=operator, categories=(category,))
    for line in _lines(text):
        parsed.add(re.split(r"[\s#;,]", line, maxsplit=1)[0], facts)
    return parsed


def _systems(path: str, text: str) -> Parsed:
    """One AS number a line with a comment behind it: every address announced by it is of the category."""
    category, _ = _category(path)
    name = _source_name(path)
    parsed = Parsed(name, f"list {name} of AS numbers", "service")
    for line in _lines(text):
        parsed.lines += 1
        number, _, comment = line.partition("#")
        asn = asn_of(number.strip().split()[0])
        if asn is None:
            parsed.reject(line)
            continue
        parsed.systems[asn] = Facts(operator=" ".join(comment.split())[:200] or None, asn=asn, categories=(category,))
    return parsed


def _table(path: str, text: str, known: Publisher | None) -> Parsed:
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
    name = known.name if known else _slug(PATH_DAY.sub("", PurePosixPath(path).stem))
    parsed = Parsed(name, known.title if known else f"table {name}", "stated")
    days = []
    try:
        for row in rows:
            parsed.lines += 1
            values = {say: " ".join(str(row.get(column) or "").split())[:200] for say, column in found.items()}
            days.append(_day(str(row.get(dated) or "")) if dated else None)
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
        country=_country(values.get("country")),
        located=_country(values.get("located")),
        holder=values.get("holder") or None,
        operator=values.get("operator") or None,
        asn=asn_of(values.get("asn", "")),
        categories=tuple(dict.fromkeys(CATEGORY_NAMES.get(word, word) for word in categories if word != "unknown")),
    )


def _headerless(path: str, text: str, known: Publisher | None) -> Parsed:
    """A geofeed (RFC 8805: ``prefix,country,region,city,postal``), or ``first,last,country``: where, not whose."""
    provider = known if known is not None and known.category is not None else None
    name = provider.name if provider else _source_name(path)
    parsed = Parsed(name, provider.title if provider else f"table {name}", provider.kind if provider else "stated")
    base = Facts(operator=provider.operator, categories=(provider.category or "",)) if provider else Facts()
    for row in csv.reader(_lines(text)):
        parsed.lines += 1
        try:
            low = parse_block(row[0].strip())
            if len(row) > 1 and _is_block(row[1]):
                block, country = range_of(low, parse_block(row[1].strip())), row[2] if len(row) > 2 else ""
            else:
                block, country = low, row[1] if len(row) > 1 else ""
        except (ValueError, IndexError):
            parsed.reject(",".join(row))
            continue
        parsed.blocks.add(block, replace(base, located=_country(country)))
    return parsed


def _json(path: str, text: str, known: Publisher | None) -> Parsed:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error}", where=path) from error
    if isinstance(document, dict) and isinstance(document.get("list"), list) and "matching_attributes" in document:
        return _warning(path, document)
    if isinstance(document, dict) and isinstance(document.get("country-code"), str):
        return _country_json(document)
    provider = known if known is not None and known.category is not None else _provider_of_json(document)
    if provider is None:
        raise BadInput("JSON of no known publisher", where=path, hint="name the file after the provider, or give a CSV")
    parsed = Parsed(provider.name, provider.title, provider.kind)
    facts = Facts(operator=provider.operator, categories=(provider.category or "cloud",))
    for entry in _prefixes(document):
        parsed.add(entry, facts)
    if not parsed.lines:
        raise BadInput("JSON without any block of addresses", where=path)
    parsed.dated = _json_day(document)
    return parsed


PREFIX_KEYS = frozenset(
    {"ip_prefix", "ipv6_prefix", "ipv4prefix", "ipv6prefix", "cidr", "prefix", "network", "ip_range", "subnet"}
)
PREFIX_LISTS = frozenset(
    {"addressprefixes", "addresses", "ipv6_addresses", "ipv4_cidrs", "ipv6_cidrs", "cidrs", "prefixes", "ipv4", "ipv6"}
)


def _prefixes(document: Any) -> Iterator[str]:
    """Every block in a provider's JSON: by the keys that hold them, else lists of nothing but blocks."""
    pending: list[Any] = [document]
    while pending:
        here = pending.pop()
        if isinstance(here, dict):
            for key, value in here.items():
                name = str(key).lower()
                if isinstance(value, str) and name in PREFIX_KEYS:
                    yield value
                elif isinstance(value, list) and value and isinstance(value[0], str):
                    if name in PREFIX_LISTS or all(
                        isinstance(one, str) and "/" in one and _is_block(one) for one in value
                    ):
                        yield from (one for one in value if isinstance(one, str))
                elif isinstance(value, (dict, list)):
                    pending.append(value)
        elif isinstance(here, list):
            if here and all(isinstance(one, str) for one in here):
                yield from here
            else:
                pending.extend(one for one in here if isinstance(one, (dict, list)))


def _provider_of_json(document: Any) -> Publisher | None:
    """The provider whose layout this is, for files of any name."""
    if not isinstance(document, dict):
        return None
    signs: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
        ("amazon", lambda one: "syncToken" in one and "ipv6_prefixes" in one),
        ("microsoft", lambda one: "changeNumber" in one and "values" in one),
        ("oracle", lambda one: "last_updated_timestamp" in one and "regions" in one),
        ("github", lambda one: "verifiable_password_authentication" in one),
        ("vultr", lambda one: "subnets" in one and "Vultr" in str(one.get("description"))),
        ("fastly", lambda one: "addresses" in one and "ipv6_addresses" in one),
        ("cloudflare", lambda one: isinstance(one.get("result"), dict) and "ipv4_cidrs" in one["result"]),
        ("google", lambda one: "syncToken" in one and "creationTime" in one and "prefixes" in one),
        ("openai", lambda one: "creationTime" in one and "prefixes" in one),
    )
    return next((publisher(name) for name, fits in signs if fits(document)), None)


def _warning(path: str, document: Mapping[str, Any]) -> Parsed:
    """A MISP warning list: its entries that are addresses or blocks; names and hashes are no origin."""
    title = str(document.get("name") or "unnamed")[:200]
    stem = PurePosixPath(path).stem
    stem = PurePosixPath(path).parent.name if stem == "list" else stem
    parsed = Parsed(f"misp-{_slug(stem)}", f"MISP warning list: {title}", "warning")
    operator = WARNING_PROVIDERS.get(_slug(stem))
    facts = Facts(operator=operator, categories=("cloud",) if operator else (), lists=(title,))
    entries = [one for one in document["list"] if isinstance(one, str)]
    for entry in entries:
        if _is_block(entry):
            parsed.add(entry, facts)
    if not parsed.lines:
        raise BadInput("a warning list without addresses", where=path)
    version = str(document.get("version") or "")
    parsed.dated = _day(version) if len(version) == 8 else None
    return parsed


def _country_json(document: Mapping[str, Any]) -> Parsed:
    """``aggregated.json`` of ipverse: ``country-code`` and ``prefixes`` or ``subnets`` per IP version."""
    code = _country(document["country-code"])
    parsed = Parsed("rir-country", "blocks per registered country", "countries")
    for entry in _prefixes(document):
        parsed.add(entry, Facts(country=code))
    return parsed


def _json_day(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    created = str(document.get("createDate") or "")
    if found := US_DAY.match(created):
        return "-".join(found.groups())
    for key in ("creationTime", "last_updated_timestamp", "updated", "last_modified", "generated"):
        if day := _day(str(document.get(key) or "")):
            return day
    return None


def _publisher_of(path: str) -> Publisher | None:
    """The provider that a file is named after: ``amazon-ipv4.txt``, ``amazon/ipv4.txt``, ``ip-ranges.json``."""
    pure = PurePosixPath(path)
    for stem in (pure.name, *(one.name for one in pure.parents)):
        if (found := provider_of_file(stem.partition(".")[0])) is not None:
            return found
    return None


def _category(path: str) -> tuple[str, list[str]]:
    """What a plain list says its addresses are, and the words of its path, nearest to the file first."""
    words = [word for part in reversed(PurePosixPath(path.lower()).parts) for word in re.split(r"[^a-z0-9]+", part)]
    for word in words:
        for sign, category in CATEGORY_WORDS:
            if word == sign:
                return category, words
    raise BadInput(
        "a plain list that does not say what its addresses are",
        where=path,
        hint="name the file or its folder vpn, proxy, tor, hosting or after a provider, or give a CSV with a header",
    )


def _source_name(path: str) -> str:
    """A name from the words of the path that mean something."""
    pure = PurePosixPath(path.lower())
    parts = [*pure.parts[-4:-1], pure.name.partition(".")[0]]
    words = [
        word
        for part in parts
        for word in re.split(r"[^a-z0-9]+", PATH_DAY.sub("", part))
        if word and word not in WORDS_WITHOUT_MEANING
    ]
    return "-".join(dict.fromkeys(words))[:60] or "list"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "unnamed"


def _country(value: object) -> str | None:
    text = str(value or "").strip().upper()
    return text if len(text) == 2 and text.isascii() and text.isalpha() else None


def _day(text: str) -> str | None:
    found = DAY.match(text.strip())
    return "-".join(found.groups()) if found else None


def merge(files: Iterable[Parsed]) -> dict[str, list[Parsed]]:
    """Files by source, in the order given."""
    together: dict[str, list[Parsed]] = {}
    for one in files:
        together.setdefault(one.source, []).append(one)
    return together
