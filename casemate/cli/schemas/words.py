"""What schemas are made of: plain kinds, and the names of ways to put them together."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION = (
    "Times are UTC, ISO 8601. Parts not built yet are null, never empty. Later versions may add keys; these stay."
)
TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
SECONDS: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
ADDRESS: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}:[0-9]+$"}
ANY_OBJECT: Schema = {"type": "object"}


def listed(item: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": item, **more}


def or_null(kind: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, kind]}


def counts(kind: Schema = COUNT) -> Schema:
    return {"type": "object", "additionalProperties": kind}


def an_object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def one_of(*words: str) -> Schema:
    return {"enum": list(words)}


NULL_TEXT = or_null(TEXT)
TIME = or_null({"type": "string", "format": "date-time"})
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
