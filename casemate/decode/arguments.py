"""Lists of arguments, as containers and cloud interfaces record them: ``["sh","-c","echo aWQ= | base64 -d | sh"]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from casemate.decode.model import Budget, Piece
from casemate.decode.signs import Decoder

LONGEST = 1 << 20
"""Characters of a list that is read as JSON."""


def argument_lists(text: str, budget: Budget, _places: Sequence[int] = ()) -> Iterator[Piece]:
    """The arguments of a JSON array of texts, put together with spaces; of an array of such arrays each one."""
    if text.lstrip()[:1] != "[" or len(text) > LONGEST or not budget.attempt():
        return
    try:
        value: Any = orjson.loads(text)
    except ValueError:
        return
    lists = value if value and all(isinstance(item, list) for item in value) else [value]
    for items in lists:
        texts = [item for item in items if isinstance(item, str)]
        joined = " ".join(texts)
        if len(texts) > 1 and budget.spend(len(joined)):
            yield Piece(joined, ("arguments",))
        elif texts and texts[0] != text and budget.spend(len(texts[0])) and len(items) == 1:
            yield Piece(texts[0], ("arguments",))


LIST = Decoder(argument_lists, (r"^\s*\[",))
