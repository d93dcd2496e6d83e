"""Which formats a content could be, told by its bytes alone, and their look at it.

Every format whose loader could accept the bytes looks: a file that is a zip to one loader and a pickle to another is
both.
"""

from __future__ import annotations

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import MASQUERADING, Rule
from casemate.detect.artifacts.embedded import hunt, hunt_encoded, hunt_in_text
from casemate.detect.artifacts.formats import FORMATS
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import FAILED, UNOWNED, Inspection, TooMuchError

UNKNOWN = Rule("format.unknown", "unscannable", None, "no format that is known here; a loader may know it")
MISNAMED = Rule(
    "format.misnamed", "suspicious", MASQUERADING, "a loader that goes by content may run code that the name denies"
)  # fmt: skip


def possible_formats(content: Content) -> tuple[Format, ...]:
    """The formats that could accept the content, in the order of the registry."""
    return tuple(known for known in FORMATS if _accepts(known, content))


def inspect_content(content: Content, inspection: Inspection) -> None:
    """Let every possible format look at the content; what nobody knows or owns is reported.

    Raises:
        TooMuchError: a limit of the whole file was reached.
    """
    if not content.size:
        if not inspection.path_inside:
            inspection.findings.formats.append("empty")
        return
    formats = possible_formats(content)
    if not inspection.path_inside:
        inspection.findings.formats.extend(known.name for known in formats)
    if not formats:
        inspection.report(UNKNOWN, f"content of no known format begins with {content.head(8).hex(' ')}", 0)
        hunt(content, [(0, content.size)], inspection)
        hunt_encoded(content, [(0, content.size)], inspection)
        return
    for known in formats:
        try:
            known.inspect(content, inspection)
        except (TooMuchError, MemoryError):
            raise
        except Exception as error:  # hostile bytes may raise anything; none of it is a pass
            inspection.report(FAILED, f"read as {known.name}: {type(error).__name__}: {error}"[:300])
    if any(known.is_text for known in formats) and not any(known.name == "pickle" for known in formats):
        hunt_in_text(content, inspection)
    _look_at_rest(content, inspection)
    _look_at_name(content, formats, inspection)


def _accepts(known: Format, content: Content) -> bool:
    try:
        return known.recognise(content)
    except (TooMuchError, MemoryError):
        raise
    except Exception:
        return False


def _look_at_rest(content: Content, inspection: Inspection) -> None:
    rest = inspection.ownership.rest()
    if rest:
        count = sum(end - begin for begin, end in rest)
        places = ", ".join(f"{begin}-{end - 1}" for begin, end in rest[:5])
        inspection.report(UNOWNED, f"{count} bytes belong to no part of the format ({places})", rest[0][0])
        hunt(content, rest, inspection)
        hunt_encoded(content, rest, inspection)


def _look_at_name(content: Content, formats: tuple[Format, ...], inspection: Inspection) -> None:
    name = content.name.lower()
    promised = [known for known in FORMATS if known.suffixes and name.endswith(known.suffixes)]
    if promised and not any(known in formats or known.runs_code for known in promised):
        found = [known.name for known in formats if known.runs_code]
        if found:
            inspection.report(MISNAMED, f"named like {promised[0].name} and is {found[0]}")
