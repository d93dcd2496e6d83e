r"""The short form of a condition: ``Image|endswith: \backup.exe and User: svc_backup``.

```
WHERE := TERM [and TERM]...
TERM  := [not] FIELD[|MODIFIER]...: VALUE
VALUE := text up to the next " and FIELD:"  |  "quoted text"  |  [VALUE, VALUE, ...]  |  null
```
Fields, modifiers, wildcards and escapes are Sigma's; one of a list is enough; several WHERE must all hold.
A text that begins or ends with a space, or holds `` and name:``, is put in quotes; ``\"`` is a
quote within double quotes, and single quotes change nothing of what is between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from casemate.errors import BadInput

FIELD = r"[A-Za-z_@][\w.@\-]*(?:\|[a-z0-9]+)*"
TERM = re.compile(rf"\s*(?P<no>not\s+)?(?P<field>{FIELD})\s*:[ \t]*", re.ASCII)
NEXT = re.compile(rf"\s+and\s+(?=(?:not\s+)?{FIELD}\s*:(?!\\|//))", re.ASCII)
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'', re.DOTALL)
WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
EXAMPLE = r"for example --where 'Image|endswith: \backup.exe and User: svc_backup'"
TEXT_LENGTH = 16_384
TERMS = 100

Value = str | int | None


def parse_where(conditions: Iterable[str]) -> dict[str, Any]:
    """The detections and the condition of a Sigma filter that takes out what fulfils all `conditions`.

    Returns:
        a mapping such as ``{"selection": {...}, "condition": "not selection"}``.

    Raises:
        BadInput: it is not in the form described above.
    """
    terms = [term for text in conditions for term in _terms(text)]
    if not terms:
        raise BadInput("says nothing to look for", where="--where", hint=EXAMPLE)
    if len(terms) > TERMS:
        raise BadInput(f"more than {TERMS} terms", where="--where", hint="write a Sigma filter and give it with --from")
    parts: dict[str, Any] = {}
    names: list[str] = []
    open_part: dict[str, Any] | None = None
    for negated, field, value in terms:
        if negated:
            names.append(f"not {_put(parts, 'exception', {field: value})}")
        elif open_part is not None and field not in open_part:
            open_part[field] = value
        else:  # a mapping holds each field once: the same field again is a part of its own
            open_part = {field: value}
            names.append(_put(parts, "selection", open_part))
    wanted = " and ".join(names)
    return {**parts, "condition": f"not {wanted}" if len(names) == 1 and " " not in wanted else f"not ({wanted})"}


def _put(parts: dict[str, Any], kind: str, part: dict[str, Any]) -> str:
    number = sum(name.startswith(kind) for name in parts) + 1
    name = kind if number == 1 else f"{kind}_{number}"
    parts[name] = part
    return name


def _terms(text: str) -> Iterator[tuple[bool, str, Value | list[Value]]]:
    if len(text) > TEXT_LENGTH:
        raise BadInput(f"longer than {TEXT_LENGTH} characters", where="--where")
    position = 0
    while True:
        found = TERM.match(text, position)
        if found is None:
            rest = text[position : position + 60].strip()
            raise BadInput(f"no 'FIELD: VALUE' at '{rest}'", where="--where", hint=EXAMPLE)
        value, position = _value(text, found.end())
        yield found["no"] is not None, found["field"], value
        following = NEXT.match(text, position)
        if following is None:
            if text[position:].strip():
                raise BadInput(f"cannot read '{text[position:].strip()[:60]}'", where="--where", hint=EXAMPLE)
            return
        position = following.end()


def _value(text: str, position: int) -> tuple[Value | list[Value], int]:
    if text[position : position + 1] == "[":
        return _list(text, position + 1)
    quoted = QUOTED.match(text, position)
    if quoted is not None:
        return _unquoted(quoted), quoted.end()
    following = NEXT.search(text, position)
    end = following.start() if following is not None else len(text)
    plain = text[position:end].strip()
    if not plain:
        raise BadInput(
            f"no value after '{text[:position].strip()[-60:]}'", where="--where", hint='"" is the empty text'
        )
    return _plain(plain), end


def _list(text: str, position: int) -> tuple[list[Value], int]:
    values: list[Value] = []
    while True:
        position += len(text[position:]) - len(text[position:].lstrip())
        quoted = QUOTED.match(text, position)
        if quoted is not None:
            values.append(_unquoted(quoted))
            position = quoted.end()
        else:
            end = min((place for sign in ",]" if (place := text.find(sign, position)) >= 0), default=len(text))
            if not text[position:end].strip():
                raise BadInput("an empty value in a list", where="--where", hint='"" is the empty text')
            values.append(_plain(text[position:end].strip()))
            position = end
        position += len(text[position:]) - len(text[position:].lstrip())
        sign = text[position : position + 1]
        if sign == "]":
            return values, position + 1
        if sign != ",":
            raise BadInput("a list that does not end with ]", where="--where")
        position += 1


def _unquoted(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[2]
    return found[1].replace('\\"', '"')


def _plain(text: str) -> Value:
    if text == "null":
        return None
    return int(text) if WHOLE_NUMBER.fullmatch(text) else text
