"""What a file of origin data is read into, and what its readers share: names, days, countries, categories of paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from casemate.errors import BadInput
from casemate.intel.origins_blocks import BlockBuilder, Facts, parse_block
from casemate.intel.origins_sources import CATEGORY_WORDS, WORDS_WITHOUT_MEANING

PATH_DAY = re.compile(r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
DAY = re.compile(r"(20\d\d|19[89]\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])")
COMMENTS = ("#", ";", "//")


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


def lines_of(text: str) -> Iterator[str]:
    """Lines that are neither blank nor comments, stripped."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(COMMENTS):
            yield stripped


def is_block(text: str) -> bool:
    """Whether `text` is an address or a block of addresses."""
    try:
        parse_block(text.strip().strip('"'))
    except ValueError:
        return False
    return True


def category_of(path: str) -> tuple[str, list[str]]:
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


def source_name(path: str) -> str:
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


def slug(text: str) -> str:
    """A name as a part of file names."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "unnamed"


def country_code(value: object) -> str | None:
    """A two-letter code, None for anything else."""
    text = str(value or "").strip().upper()
    return text if len(text) == 2 and text.isascii() and text.isalpha() else None


def day_of(text: str) -> str | None:
    """The day that `text` begins with, ``YYYY-MM-DD``."""
    found = DAY.match(text.strip())
    return "-".join(found.groups()) if found else None
