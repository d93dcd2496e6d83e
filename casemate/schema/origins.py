"""Origins: what registries and lists say of the addresses that attempts came from, as of the time of the attempts."""

from __future__ import annotations

import pyarrow as pa

from casemate.schema.native import UTC_MICROSECONDS

CATEGORIES: tuple[str, ...] = (
    "cloud",
    "vpn",
    "proxy",
    "tor",
    "hosting",
    "access network",
    "private",
    "own",
    "bogon",
    "documentation",
)
"""Kinds of address blocks; a table somebody wrote may name others.  None at all is *unknown*."""

CLAIM = pa.struct(
    [
        pa.field("what", pa.string()),  # registry, registered_country, located_country, holder, operator, asn, ...
        pa.field("value", pa.string()),
        pa.field("source", pa.string()),
        pa.field("dated", pa.string()),  # day of the source's version, YYYY-MM-DD; null for what does not change
        pa.field("later", pa.bool_()),  # the source has no version from before the event
    ]
)

ANSWER = pa.schema(
    [
        pa.field("registry", pa.string()),
        pa.field("registered_country", pa.string()),
        pa.field("located_country", pa.string()),
        pa.field("holder", pa.string()),
        pa.field("operator", pa.string()),
        pa.field("asn", pa.int64()),
        pa.field("categories", pa.list_(pa.string())),
        pa.field("cloud_providers", pa.list_(pa.string())),
        pa.field("lists", pa.list_(pa.string())),
        pa.field("claims", pa.list_(CLAIM)),
    ]
)
"""What is said of one address; null is unknown, and so is an empty list of categories."""

UNITS = (
    pa.field("attempts", pa.int64(), nullable=False),
    pa.field("connections", pa.int64(), nullable=False),
    pa.field("bytes", pa.int64(), nullable=False),
)

ORIGINS = pa.schema(
    [
        pa.field("address", pa.string(), nullable=False),
        pa.field("span", pa.int64(), nullable=False),
        pa.field("span_begins", UTC_MICROSECONDS),
        pa.field("span_ends", UTC_MICROSECONDS),
        *ANSWER,
        pa.field(
            "registered_to", pa.string()
        ),  # the country, else own, private, documentation or bogon; null is unknown
        pa.field("cloud_or_vpn", pa.string(), nullable=False),  # cloud_or_vpn, neither, inside, unknown
        *UNITS,
        pa.field("without_bytes", pa.int64(), nullable=False),
    ]
)
"""One row per source address of attempts and span of time in which the same versions of the origin data hold."""

ORIGIN_CATEGORIES = pa.schema(
    [
        pa.field("address", pa.string(), nullable=False),
        pa.field("span", pa.int64(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("source", pa.string()),
        pa.field("dated", pa.string()),
        pa.field("later", pa.bool_()),
        *UNITS,
    ]
)
"""The rows of ``origins`` once for each of their categories, with who says so; one row without any where none does."""

ORIGIN_FILES = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("dated", pa.string(), nullable=False),
        pa.field("dated_by", pa.string(), nullable=False),
        pa.field("came_from", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("block", pa.string()),  # first-last
        pa.field("system", pa.int64()),  # or the number of an AS
        pa.field("says", pa.string(), nullable=False),  # JSON: the facts in order
    ]
)
"""Origin data of this case alone (``investigate --origins``), block by block, so that the case can be read alone."""
