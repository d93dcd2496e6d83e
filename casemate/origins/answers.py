"""From what several sources say of an address to one answer; the rules for where they overlap.

1. Inside one source the innermost block answers (:mod:`casemate.intel.origins_blocks`).
2. No source hides another: the categories of an address are those of all sources that hold it, so a VPN
   exit inside a cloud range is both.
3. Who registered a block and who uses it are two fields.  Registry, registered country and holder come
   from tables, delegation files, lists per country and databases, in this order; operator from tables,
   lists of services, providers' own ranges and databases.  What the others say stays among the claims.
4. A list of AS numbers speaks of an address where another source says which AS announces it.
5. Own, private, documentation ranges and bogons are named first.  Loaded data that registers an address
   (a country, a holder, an AS or a category) takes the place of the special range, and stands beside *own*.
6. What nobody says is unknown: null, or no category.  A location is never taken for a registration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from casemate.intel.origins_blocks import Facts
from casemate.intel.origins_sources import KINDS
from casemate.schema.origins import ANSWER

REGISTRATION_ORDER: tuple[str, ...] = tuple(KINDS)
OPERATOR_ORDER: tuple[str, ...] = ("stated", "service", "provider", "warning", "database", "registry", "countries")
NO_REGISTRATION = frozenset({"bogon"})
"""Categories that do not register an address."""


@dataclass(frozen=True)
class Said:
    """What one source says of an address, and with which version."""

    source: str
    kind: str
    dated: str | None
    later: bool
    facts: Facts


@dataclass(frozen=True)
class Claim:
    """One statement about an address; see :data:`casemate.schema.origins.CLAIM`."""

    what: str
    value: str
    source: str
    dated: str | None = None
    later: bool = False


@dataclass(frozen=True)
class Answer:
    """Everything that is said of an address; see :data:`casemate.schema.origins.ANSWER`."""

    registry: str | None = None
    registered_country: str | None = None
    located_country: str | None = None
    holder: str | None = None
    operator: str | None = None
    asn: int | None = None
    categories: tuple[str, ...] = ()
    cloud_providers: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


SPECIAL_SOURCE = "IANA special-purpose registry"


def compose(
    own: str | None, special: Facts | None, said: Sequence[Said], systems: Sequence[tuple[Said, Mapping[int, Facts]]]
) -> Answer:
    """One answer by the rules above.

    Args:
        own: by what an address is the lab's own (``case.toml``), None where it is not.
        special: the special range it lies in; ``lists`` holds the reason.
        said: what sources say of it.
        systems: sources that speak of AS numbers.
    """
    by_registration = sorted(said, key=lambda one: (REGISTRATION_ORDER.index(one.kind), one.source))
    asn = next((one.facts.asn for one in by_registration if one.facts.asn is not None), None)
    if asn is not None:
        listed = [
            Said(source.source, source.kind, source.dated, source.later, facts[asn])
            for source, facts in systems
            if asn in facts
        ]
        said = [*said, *listed]
        by_registration = sorted(said, key=lambda one: (REGISTRATION_ORDER.index(one.kind), one.source))
    by_operator = sorted(said, key=lambda one: (OPERATOR_ORDER.index(one.kind), one.source))
    claims: list[Claim] = []
    categories: list[str] = []
    if own is not None:
        categories.append("own")
        claims.append(Claim("category", "own", own))
    if special is not None and (own is not None or not any(registers(one) for one in said)):
        reason = Claim("category", special.categories[0], f"{SPECIAL_SOURCE}: {special.lists[0]}")
        claims.append(reason)
        if own is None:
            categories.append(special.categories[0])
    for one in by_registration:
        categories += [name for name in one.facts.categories if name not in categories]
        claims += _claims(one)
    return Answer(
        registry=next((one.facts.registry for one in by_registration if one.facts.registry), None),
        registered_country=next((one.facts.country for one in by_registration if one.facts.country), None),
        located_country=next((one.facts.located for one in by_registration if one.facts.located), None),
        holder=next((one.facts.holder for one in by_registration if one.facts.holder), None),
        operator=next((one.facts.operator for one in by_operator if one.facts.operator), None),
        asn=asn,
        categories=tuple(categories),
        cloud_providers=tuple(
            sorted({one.facts.names().get("cloud") or one.source for one in said if "cloud" in one.facts.categories})
        ),
        lists=tuple(dict.fromkeys(name for one in said for name in one.facts.lists)),
        claims=tuple(claims),
    )


def registers(one: Said) -> bool:
    """Whether a source registers the address, rather than listing it."""
    facts = one.facts
    known = facts.country or facts.holder or facts.asn or set(facts.categories) - NO_REGISTRATION
    return one.kind != "warning" and bool(known)


def _claims(one: Said) -> list[Claim]:
    facts = one.facts
    pairs = (
        ("registry", facts.registry),
        ("registered_country", facts.country),
        ("located_country", facts.located),
        ("holder", facts.holder),
        ("operator", facts.operator),
        ("asn", str(facts.asn) if facts.asn is not None else None),
        *(("category", name) for name in facts.categories),
        *(("list", name) for name in facts.lists),
        *(("within", name) for name in facts.within),
    )
    return [Claim(what, value, one.source, one.dated, one.later) for what, value in pairs if value is not None]


def answer_arrays(answers: Sequence[Answer]) -> dict[str, pa.Array]:
    """Answers as one array per column of :data:`casemate.schema.origins.ANSWER`."""
    rows = [{**vars(one), "claims": [vars(claim) for claim in one.claims]} for one in answers]
    return {field.name: pa.array([row[field.name] for row in rows], field.type) for field in ANSWER}
