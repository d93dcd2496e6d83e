"""All limits on hostile input, in one place.

Reaching a limit is never silent: a record-level limit rejects the record with its position, an
evidence-level limit is reported as a finding of the run and in ``casemate show coverage``.
``case.toml`` may override any of these under ``[limits]``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from casemate.errors import BadInput

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Limits for one run.  Sizes are bytes, times are seconds of wall clock."""

    evidence_bytes: int = 256 * 1024 * MIB
    """Largest single piece of evidence that is read."""
    line_bytes: int = 16 * MIB
    """Longest line of a text log; a longer one is a rejected record."""
    json_depth: int = 64
    """Deepest nesting of one JSON record."""
    fields_per_record: int = 4096
    """Most flattened fields of one record."""
    archive_depth: int = 6
    """Archives inside archives inside ..."""
    archive_members: int = 200_000
    """Most members taken from one archive."""
    archive_ratio: int = 2_000
    """Unpacked bytes per packed byte; checked once `archive_ratio_floor` bytes came out."""
    archive_ratio_floor: int = 64 * MIB
    """Below this many unpacked bytes the ratio is not judged."""
    archive_bytes: int = 256 * 1024 * MIB
    """Most bytes unpacked from one top-level file, all nesting levels together."""
    helper_memory_bytes: int = 1024 * MIB
    """Address space of the child process that unpacks 7z."""
    evidence_seconds: float = 6 * 3600.0
    """Longest time spent reading one piece of evidence."""
    decode_input_characters: int = 4 * MIB
    """Characters of one text that are looked at for something encoded."""
    decode_depth: int = 6
    """Encoded text inside decoded text inside ..."""
    decode_texts: int = 64
    """Most decoded texts that are taken out of one text."""
    decode_output_bytes: int = 8 * MIB
    """Most bytes that come out of one text, all layers together."""
    decode_tries: int = 10_000
    """Candidates (runs of base64, streams, lists of numbers) tried in one text: counted instead of timed, so that
    the same evidence gives the same texts."""
    query_memory_bytes: int = 1024 * MIB
    """Memory of the child process that answers ``casemate query``."""
    query_seconds: float = 120.0
    """Longest time one ``casemate query`` may take."""

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Limits:
        """Limits with the overrides of ``[limits]`` in ``case.toml``.

        Raises:
            BadInput: an unknown name or a value that is not a positive number.
        """
        known = {field.name for field in fields(cls)}
        for name, value in settings.items():
            if name not in known:
                raise BadInput(f"unknown limit '{name}'", where="case.toml [limits]")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise BadInput(f"limit '{name}' must be a positive number", where="case.toml [limits]")
        return replace(cls(), **settings)
