"""Events whose fields are still shaped like the event's XML, as flat records in Windows' names.

* ``{"Event": {"System": {...}, "EventData": {...}}}`` as evtx_dump and the ``evtx`` package write it
  (``#attributes``, ``#text``), with ``@Name`` attributes as xmltodict does, or with ``Provider_attributes``
  beside ``Provider``; with or without the outer ``Event``.
* EvtxECmd: System fields flat, the rest of the XML as JSON text in ``Payload``.
* Azure Monitor: ``EventData`` as JSON text or XML text, ``EventData_dynamic`` as a JSON array.

Namespace declarations (``xmlns``) are no data and left out; all else is kept.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from typing import Any

from casemate.evidence.readers.json_texts import Fields, flatten
from casemate.evidence.readers.json_values import read_object
from casemate.limits import Limits

SYSTEM_NAMES: dict[str, str] = {
    "Provider.Name": "Provider_Name",
    "Provider.Guid": "ProviderGuid",
    "Provider.EventSourceName": "EventSourceName",
    "EventID": "EventID",
    "EventID.Qualifiers": "Qualifiers",
    "Version": "Version",
    "Level": "Level",
    "Task": "Task",
    "Opcode": "Opcode",
    "Keywords": "Keywords",
    "TimeCreated.SystemTime": "SystemTime",
    "EventRecordID": "EventRecordID",
    "Correlation.ActivityID": "ActivityID",
    "Correlation.RelatedActivityID": "RelatedActivityID",
    "Execution.ProcessID": "ExecutionProcessID",
    "Execution.ThreadID": "ExecutionThreadID",
    "Channel": "Channel",
    "Computer": "Computer",
    "Security.UserID": "UserID",
}
"""Path under ``System`` (attributes like children) -> name in the vocabulary."""

EVTXECMD_NAMES: dict[str, str] = {
    "Provider": "Provider_Name",
    "EventId": "EventID",
    "EventRecordId": "EventRecordID",
    "ProcessId": "ExecutionProcessID",
    "ThreadId": "ExecutionThreadID",
    "UserId": "UserID",
    "Computer": "Computer",
    "Channel": "Channel",
    "Level": "Level",
    "Keywords": "Keywords",
    "TimeCreated": "SystemTime",
}

_TAKEN = {name.lower() for name in SYSTEM_NAMES.values()}
_XML_DATA = re.compile(r'<Data Name="([^"<>]*)"\s*(?:/>|>([^<]*)</Data>)')
_XML_AROUND = re.compile(r"<(?:EventData|DataItem|UserData)[^<>]*>|</(?:EventData|DataItem|UserData)>|\s+")


def rewriter(keys: frozenset[str]) -> Callable[[Fields], Fields] | None:
    """The function that makes a record with these keys flat, None if it is as flat as it can be."""
    if "Event" in keys or {"System", "EventData"} <= keys or {"System", "UserData"} <= keys:
        return from_xml_shape
    if "Payload" in keys and ("ChunkNumber" in keys or "MapDescription" in keys or "ExtraDataOffset" in keys):
        return from_evtxecmd
    if ("EventData" in keys or "EventData_dynamic" in keys) and not _AZURE_DONE & keys:
        return from_azure
    return None


_AZURE_DONE = {"EventData.", "EventData_"}


def from_xml_shape(record: Fields) -> Fields:
    """A record with ``Event`` (or its ``System`` and data sections at the top)."""
    event = record.get("Event")
    if not isinstance(event, dict):
        if not isinstance(record.get("System"), dict):
            return _flat_other(record)
        event, around = record, {}
    else:
        around = {key: value for key, value in record.items() if key != "Event"}
    flat: Fields = {}
    system = event.get("System")
    if isinstance(system, dict):
        for path, value in _leaves(system):
            _put(flat, SYSTEM_NAMES.get(path, f"System.{path}"), value)
    elif system is not None:
        _put(flat, "System", system)
    for section, value in event.items():
        if section == "EventData":
            _event_data(flat, value)
        elif section == "UserData":
            _user_data(flat, value)
        elif section != "System" and not _is_namespace(section):
            _section(flat, section, value)
    for name, value in flatten(around).items():
        _put(flat, name, value)
    return flat


def from_evtxecmd(record: Fields) -> Fields:
    """A record of EvtxECmd; what it derived itself stands in ``rest`` as ``EvtxECmd.*``."""
    flat: Fields = {}
    for name, value in record.items():
        if name != "Payload":
            _put(flat, EVTXECMD_NAMES.get(name, f"EvtxECmd.{name}"), value)
    payload = _inner_object(record.get("Payload"))
    if payload is None:
        _put(flat, "EvtxECmd.Payload", record.get("Payload"))
        return flat
    for section, value in payload.items():
        if section == "EventData":
            _event_data(flat, value)
        elif section == "UserData":
            _user_data(flat, value)
        else:
            _section(flat, section, value)
    return flat


def from_azure(record: Fields) -> Fields:
    """A record of Azure Monitor, or any flat record whose ``EventData`` is an object."""
    flat: Fields = {}
    for name, value in record.items():
        if name == "EventData" and isinstance(value, dict):
            _event_data(flat, value)
        elif name == "EventData" and isinstance(value, str) and (inner := _inner_object(value) or _inner_xml(value)):
            _event_data(flat, inner)
        elif name == "EventData_dynamic" and isinstance(value, str):
            inner = _inner_object(f'{{"Data":{value}}}')
            _event_data(flat, inner) if inner else _put(flat, "EventData_", value)
        elif name == "EventData":
            _put(flat, "EventData_", value)
        elif isinstance(value, dict) and value:
            for path, item in flatten({name: value}).items():
                _put(flat, path, item)
        else:
            _put(flat, name, value)
    return flat


def _flat_other(record: Fields) -> Fields:
    return {f"{name}_" if name in ("Event", "EventData") else name: value for name, value in flatten(record).items()}


def _event_data(flat: Fields, data: Any) -> None:
    if not isinstance(data, dict):
        if data is not None:
            _put(flat, "Data", data)
        return
    for name, value in data.items():
        if name in ("#attributes", "@attributes") or name.startswith("@"):
            for path, item in _leaves({name: value}):
                _put(flat, f"EventData_{path}", item)
        elif name == "Data" and _is_named_list(value):
            for item in value if isinstance(value, list) else [value]:
                own = item.get("#attributes")
                attributes = own if own and isinstance(own, dict) else item
                _put(flat, _free(str(attributes.get("@Name", attributes.get("Name"))), "EventData"), item.get("#text"))
        elif name == "Data" and isinstance(value, dict) and set(value) <= {"#text", "#attributes"}:
            _put(flat, "Data", value.get("#text"))
        elif isinstance(value, dict):
            for path, item in _leaves({name: value}):
                _put(flat, _free(path, "EventData"), item)
        else:
            _put(flat, _free(name, "EventData"), value)


def _is_named_list(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(
        isinstance(item, dict)
        and ("@Name" in item or (isinstance(item.get("#attributes"), dict) and "Name" in item["#attributes"]))
        for item in items
    )


def _user_data(flat: Fields, data: Any) -> None:
    """UserData holds one element of the provider's own; its children are the fields."""
    if not isinstance(data, dict):
        _put(flat, "UserData_", data)
        return
    for root, fields in data.items():
        if isinstance(fields, dict):
            for path, value in _leaves(fields):
                _put(flat, _free(path, "UserData"), value)
        elif not _is_namespace(root):
            _put(flat, _free(root, "UserData"), fields)


def _section(flat: Fields, section: str, value: Any) -> None:
    if section == "#attributes" and isinstance(value, dict):
        value = {name: item for name, item in value.items() if not _is_namespace(name)}
    for path, item in _leaves({section: value}):
        _put(flat, path or section, item)


def _leaves(node: Fields, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Dotted paths and values; attributes count as children, text as its element."""
    for name, value in node.items():
        if _is_namespace(name):
            continue
        if name in ("#attributes", "@attributes") and isinstance(value, dict):
            yield from _leaves(value, prefix)
        elif name.endswith("_attributes") and isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name.removesuffix('_attributes')}.")
        elif name == "#text":
            yield prefix.removesuffix("."), value
        elif isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name.removeprefix('@')}.")
        else:
            yield prefix + name.removeprefix("@"), value


def _is_namespace(name: str) -> bool:
    return name.lstrip("@").startswith("xmlns")


def _free(name: str, section: str) -> str:
    """The event's own name for a field, marked where ``System`` has a field of that name."""
    return f"{section}_{name}" if name.lower() in _TAKEN else name


def _put(flat: Fields, name: str, value: Any) -> None:
    """Set a field; of several with one name the values become a list."""
    if value is None:
        return
    if name in flat:
        present = flat[name]
        flat[name] = [*(present if isinstance(present, list) else [present]), value]
    else:
        flat[name] = value


def _inner_object(text: Any) -> Fields | None:
    if not isinstance(text, str) or text[:1] != "{":
        return None
    read = read_object(text.encode(), Limits())
    return None if isinstance(read, str) else read.fields


def _inner_xml(text: str) -> Fields | None:
    """``<EventData><Data Name="X">text</Data>...``; None if it holds anything else."""
    if _XML_AROUND.sub("", _XML_DATA.sub("", text)):
        return None
    return {html.unescape(name): html.unescape(value) for name, value in _XML_DATA.findall(text)}
