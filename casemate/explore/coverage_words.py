"""What is known of coverage, in words: numbers, acts, times and lengths."""

from __future__ import annotations

from datetime import UTC, datetime

from casemate.detect.coverage.numbers import Numbering
from casemate.detect.coverage.stopped import Stopped


def numbers_say(one: Numbering) -> str:
    """A numbering in words."""
    if one.verdict == "restarted":
        return f"{one.doubled:,} numbers stand at two times: two machines of one name, or one set back"
    if one.numbers == 1:
        return f"one number, {one.lowest:,}"
    if one.verdict == "complete":
        return f"numbers {one.lowest:,} to {one.highest:,} without a hole"
    if one.verdict == "selection":
        return f"sample or export: {one.numbers:,} of {one.span:,} numbers"
    if one.verdict == "pieces":
        return f"{one.missing:,} of {one.span:,} numbers missing between pieces of evidence"
    number = one.missing_within
    between = f"; {one.missing - number:,} more between pieces of evidence" if one.missing > number else ""
    places = f"{one.holes_within:,} place{'s' * (one.holes_within != 1)}"
    return f"{number:,} number{'s' * (number != 1)} missing in {places}{between}"


def act_says(one: Stopped) -> str:
    """An act in words."""
    often = f", {one.times:,} times" if one.times > 1 else ""
    what = f": {one.what}" if one.what else ""
    more = f" and {one.objects - 1:,} more" if one.objects > 1 else ""
    return f"{one.act.says}{what}{more}{' by ' + one.who if one.who else ''}{often}"


def stream_name(table: str, stream: str | None, host: str | None) -> str:
    return f"{table}{f' ({stream})' if stream else ''}{f' of {host}' if host else ''}"


def text_time(time: datetime | None) -> str | None:
    """UTC, ISO 8601 with ``Z``; microseconds only where there are some."""
    if time is None:
        return None
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def minute(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if time else "?"


def length(seconds: float) -> str:
    """A length in two units."""
    days, rest = divmod(int(seconds), 86_400)
    if days:
        return f"{days:,} d {rest // 3600} h"
    if rest >= 3600:
        return f"{rest // 3600} h {rest % 3600 // 60} min"
    return f"{rest // 60} min" if rest >= 60 else f"{rest} s"
