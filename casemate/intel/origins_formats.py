"""Files of origin data, told by their content: which source they are of, what they say, from which day.

Every reader takes the text of one file and adds its blocks to a builder; lines it cannot read are
counted as rejected, never dropped.  Plain lists say nothing of themselves: what they are is taken
from their path, by the tables of :mod:`casemate.intel.origins_sources`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from casemate.errors import BadInput
from casemate.intel.origins_json import read_json
from casemate.intel.origins_lists import (
    RIR_RECORD,
    RIR_VERSION,
    read_delegated,
    read_plain,
    read_systems,
    read_tor_exits,
)
from casemate.intel.origins_mmdb import is_mmdb, read_mmdb
from casemate.intel.origins_parsed import PATH_DAY, Parsed, is_block, lines_of, slug
from casemate.intel.origins_sources import Publisher, provider_of_file
from casemate.intel.origins_tables import BLOCK_COLUMNS, FIRST_COLUMNS, read_headerless, read_table

AS_LINE = re.compile(r"^AS(\d{1,10})\b", re.MULTILINE | re.IGNORECASE)


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
        return read_json(path, text, known)
    beginning = text[:65536]
    if RIR_VERSION.search(beginning) or RIR_RECORD.search(beginning):
        return read_delegated(text)
    if re.search(r"^ExitAddress \S+ ", beginning, re.MULTILINE):
        return read_tor_exits(text)
    first = next((line for line in lines_of(text)), "")
    names = [name.strip().strip('"').lower() for name in re.split(r"[,;\t]", first)]
    if any(name in (*BLOCK_COLUMNS, *FIRST_COLUMNS) for name in names) and not is_block(names[0]):
        return read_table(path, text, known)
    if "," in first and is_block(first.split(",")[0]):
        return read_headerless(path, text, known)
    if AS_LINE.match(first):
        return read_systems(path, text)
    if first and is_block(first.split()[0]):
        return read_plain(path, text, known)
    raise BadInput("none of the formats of origin data", where=path)


def _mmdb(content: bytes) -> Parsed:
    parsed = Parsed("", "", "database")
    database = read_mmdb(content, parsed.blocks)
    parsed.source = f"mmdb-{slug(database.kind)}"
    parsed.title = f"{database.kind} (MMDB)"
    parsed.dated = database.built
    parsed.lines = len(parsed.blocks.v4) + len(parsed.blocks.v6)
    return parsed


def _publisher_of(path: str) -> Publisher | None:
    """The provider that a file is named after: ``amazon-ipv4.txt``, ``amazon/ipv4.txt``, ``ip-ranges.json``."""
    pure = PurePosixPath(path)
    for stem in (pure.name, *(one.name for one in pure.parents)):
        if (found := provider_of_file(stem.partition(".")[0])) is not None:
            return found
    return None


def merge(files: Iterable[Parsed]) -> dict[str, list[Parsed]]:
    """Files by source, in the order given."""
    together: dict[str, list[Parsed]] = {}
    for one in files:
        together.setdefault(one.source, []).append(one)
    return together
