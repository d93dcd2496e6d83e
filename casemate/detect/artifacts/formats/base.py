"""What a format is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.inspection import Inspection


@dataclass(frozen=True)
class Format:
    """One file format or container.

    Args:
        name: stable name, lower case, as verdicts print it.
        recognise: whether a loader of this format could accept the content; never raises for good bytes and may
            raise for bad ones, which counts as no.
        inspect: looks at the content and reports.
        suffixes: endings (lower case, with the dot) that promise this format; empty when none does so alone.
        runs_code: whether a loader of this format can run code by design; a file whose ending promises a format
            that cannot, and whose content is one that can, is masquerading.
        is_text: whether its content is text, which anything may be written into.
    """

    name: str
    recognise: Callable[[Content], bool]
    inspect: Callable[[Content, Inspection], None]
    suffixes: tuple[str, ...] = ()
    runs_code: bool = False
    is_text: bool = False
