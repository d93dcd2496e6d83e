"""Values of placeholders (``%name%`` under the modifier ``expand``) given for one run.

A file of them has the form users of Sigma's own tools know: the ``vars`` of a processing pipeline
(YAML), or the mapping of names and values alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from casemate.errors import BadInput
from casemate.settings import Placeholder, parse_placeholders

FILE_BYTES = 4 * 1024 * 1024
"""Largest file of placeholders."""
PIPELINE_KEYS = ("vars", "transformations")

Placeholders = Mapping[str, tuple[str, ...]]


def given_placeholders(
    settings: Iterable[Placeholder], files: Iterable[Path] = (), assignments: Iterable[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Values by name: those of the settings, replaced by those of the files, replaced by ``NAME=VALUE`` texts.

    Raises:
        BadInput: a file or an assignment cannot be read.
    """
    values = {one.name: one.values for one in settings}
    for file in files:
        values |= {one.name: one.values for one in read_placeholders(file)}
    assigned: dict[str, list[str]] = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign:
            raise BadInput(f"'{text}' is not NAME=VALUE", where="--placeholder")
        assigned.setdefault(name.strip("%"), []).append(value)
    values |= {one.name: one.values for one in parse_placeholders(assigned, "--placeholder")}
    return dict(sorted(values.items()))


def read_placeholders(path: Path) -> tuple[Placeholder, ...]:
    """Placeholders from a YAML file: a Sigma processing pipeline's ``vars``, or a mapping of names to values.

    Raises:
        BadInput: not such a file.
    """
    import yaml  # needed for such a file alone

    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    if len(content) > FILE_BYTES:
        raise BadInput(f"larger than {FILE_BYTES} bytes", where=str(path))
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"is not YAML: {' '.join(str(error).split())[:300]}", where=str(path)) from None
    if isinstance(document, dict) and any(key in document for key in PIPELINE_KEYS):
        document = document.get("vars", {})
    return parse_placeholders({} if document is None else document, str(path))
