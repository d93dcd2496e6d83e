"""Coverage: what could be seen at all, and what could not.

=================  ===========================================================================
:mod:`.sources`    records and silences per host and source
:mod:`.rhythm`     which silences break their source's own rhythm
:mod:`.numbers`    holes in record numbers, clocks that fall against their order
:mod:`.stopped`    cleared logs, acts that stopped or changed what is recorded
:mod:`.rotation`   rotated files that are absent, files that shrank
:mod:`.clocks`     clocks that were set, clocks of two observers that disagree
:mod:`.levels`     levels that are switched off
=================  ===========================================================================
"""

from casemate.detect.coverage.rhythm import Silence
from casemate.detect.coverage.sources import (
    HOST_COLUMNS,
    SILENCE_SECONDS,
    SourceCoverage,
    coverage,
    largest_blind_spot,
    minutes,
    observed,
    sources,
    sources_at_a_glance,
    without_streams,
)

__all__ = [
    "HOST_COLUMNS",
    "SILENCE_SECONDS",
    "Silence",
    "SourceCoverage",
    "coverage",
    "largest_blind_spot",
    "minutes",
    "observed",
    "sources",
    "sources_at_a_glance",
    "without_streams",
]
