"""The formats, listed; the likeliest reading of a content comes first."""

from __future__ import annotations

from casemate.detect.artifacts.formats import pickled
from casemate.detect.artifacts.formats.base import Format

FORMATS: tuple[Format, ...] = (pickled.FORMAT,)
