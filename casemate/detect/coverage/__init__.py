"""Coverage: what could be seen at all, and what could not.

``sources``: records and silences per host and source.  ``rhythm``: which silences break it.
"""

from casemate.detect.coverage.rhythm import Silence
from casemate.detect.coverage.sources import (
    HOST_COLUMNS,
    SILENCE_SECONDS,
    SourceCoverage,
    coverage,
    largest_blind_spot,
    observed,
    sources,
    without_streams,
)

__all__ = [
    "HOST_COLUMNS",
    "SILENCE_SECONDS",
    "Silence",
    "SourceCoverage",
    "coverage",
    "largest_blind_spot",
    "observed",
    "sources",
    "without_streams",
]
