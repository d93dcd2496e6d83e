"""Origin data as JSON: what providers publish of their own blocks, MISP warning lists, blocks per country."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import orjson

from casemate.errors import BadInput
from casemate.intel.origins_blocks import Facts
from casemate.intel.origins_parsed import Parsed, country_code, day_of, is_block, slug
from casemate.intel.origins_sources import WARNING_PROVIDERS, Publisher, publisher

US_DAY = re.compile(r"(20\d\d)-(\d\d)-(\d\d)-\d\d-\d\d-\d\d")


def read_json(path: str, text: str, known: Publisher | None) -> Parsed:
    """What the providers publish, warning lists of MISP, and blocks per country."""
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
                        isinstance(one, str) and "/" in one and is_block(one) for one in value
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
    parsed = Parsed(f"misp-{slug(stem)}", f"MISP warning list: {title}", "warning")
    operator = WARNING_PROVIDERS.get(slug(stem))
    facts = Facts(operator=operator, categories=("cloud",) if operator else (), lists=(title,))
    entries = [one for one in document["list"] if isinstance(one, str)]
    for entry in entries:
        if is_block(entry):
            parsed.add(entry, facts)
    if not parsed.lines:
        raise BadInput("a warning list without addresses", where=path)
    version = str(document.get("version") or "")
    parsed.dated = day_of(version) if len(version) == 8 else None
    return parsed


def _country_json(document: Mapping[str, Any]) -> Parsed:
    """``aggregated.json`` of ipverse: ``country-code`` and ``prefixes`` or ``subnets`` per IP version."""
    code = country_code(document["country-code"])
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
        if day := day_of(str(document.get(key) or "")):
            return day
    return None
