"""The formats, listed; the likeliest reading of a content comes first."""

from __future__ import annotations

from casemate.detect.artifacts.formats import compressed, numpy_array, pickled, sevenzip, tars, zips
from casemate.detect.artifacts.formats.base import Format

FORMATS: tuple[Format, ...] = (
    zips.FORMAT,
    tars.FORMAT,
    sevenzip.FORMAT,
    numpy_array.FORMAT,
    compressed.FORMAT,
    pickled.FORMAT,
)
