"""Kubernetes audit logs -> table ``kubernetes_audit``.

Read are events one a line, arrays, ``{"kind": "EventList", "items": [...]}``, and what the large clouds make of
them: EKS in CloudWatch Logs (``logEvents[].message``, ``@message``), AKS (``properties.log``), GKE in Cloud Logging
(``protoPayload``; its other field names are brought to those of the audit API as far as they say the same).

The names are those of ``audit.k8s.io/v1`` with dots for nesting
(https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/).  ``requestObject`` and ``responseObject`` hold
the whole object as JSON text; parts that rules ask for stand beside them.

One request may be written at several stages.  All rows are kept; a row whose request has a later stage
in the same file has ``superseded`` = 'true', and views and rules use the others.  Clients may choose the
``Audit-ID``, so a request is known by :data:`REQUEST`, not by its id alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson

from casemate.evidence.lines import LineBlock
from casemate.evidence.readers import timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_framing import json_lines
from casemate.evidence.readers.json_records import Converted, at, invalid_address, read_records, sample, unwrap
from casemate.evidence.readers.json_values import as_text, flatten, read_object, through
from casemate.limits import Limits
from casemate.schema.native import NativeTable

_POD = (
    *("hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "nodeName", "containers.image"),
    *("containers.command", "containers.args", "containers.securityContext.privileged"),
    *("containers.securityContext.capabilities.add", "containers.securityContext.runAsUser"),
    "containers.securityContext.allowPrivilegeEscalation",
    "volumes.hostPath.path",
)
REQUESTED = tuple(
    f"requestObject.{path}"
    for path in (
        *("kind", "metadata.name", "metadata.namespace", "roleRef.kind", "roleRef.name", "subjects.kind"),
        *("subjects.name", "subjects.namespace", "rules.verbs", "rules.resources", "rules.apiGroups", "spec.type"),
        *("type", "webhooks.clientConfig.url", "spec.schedule"),
        *(f"spec.{path}" for path in _POD),
        *(f"spec.template.spec.{path}" for path in _POD),
    )
)
SHORT_NAMES = {
    "apiGroup": ("objectRef.apiGroup",),
    "hostPath": ("requestObject.spec.volumes.hostPath.path", "requestObject.spec.template.spec.volumes.hostPath.path"),
    "capabilities": (
        "requestObject.spec.containers.securityContext.capabilities.add",
        "requestObject.spec.template.spec.containers.securityContext.capabilities.add",
    ),
}
OURS = ("superseded", "source_ip", "provider", "cluster", *SHORT_NAMES)  # an event that brings these does not fill them
WHOLE = ("requestObject", "responseObject", "user.groups", "user.extra", "impersonatedUser.groups", "sourceIPs")

KUBERNETES_AUDIT = NativeTable(
    "kubernetes_audit",
    (
        *("auditID", "level", "stage", "superseded", "verb", "requestURI", "user.username", "user.uid"),
        *("user.groups", "user.extra", "impersonatedUser.username", "impersonatedUser.uid"),
        *("impersonatedUser.groups", "sourceIPs", "source_ip", "userAgent", "objectRef.resource"),
        *("objectRef.namespace", "objectRef.name", "objectRef.uid", "objectRef.apiGroup", "objectRef.apiVersion"),
        *("objectRef.resourceVersion", "objectRef.subresource", "responseStatus.code", "responseStatus.status"),
        *("responseStatus.reason", "responseStatus.message", "requestReceivedTimestamp", "stageTimestamp"),
        "annotations.authorization.k8s.io/decision",
        "annotations.authorization.k8s.io/reason",
        *("apiGroup", "hostPath", "capabilities"),  # copies under the short names that public rules use
        *("requestObject", "responseObject", *REQUESTED, "kind", "apiVersion", "cluster", "provider"),
    ),
    "Events of the Kubernetes audit log.",
)

ENVELOPE_KEYS = ("items", "records", "Records", "logEvents", "events", "entries", "results")
TEXT_KEYS = ("message", "@message", "properties.log", "log", "_raw", "event.original", "textPayload")
OBJECT_KEYS = ("properties.log", "_source", "result", "@message", "message", "event", "jsonPayload", "kubernetes.audit")
STAGES = {"RequestReceived": 0, "ResponseStarted": 1, "ResponseComplete": 2, "Panic": 2}
EARLY = frozenset({"RequestReceived", "ResponseStarted"})
REQUEST = ("auditID", "verb", "requestURI", "user.username")
"""What is the same at all stages of one request."""
MOST_OPEN_REQUESTS = 1_000_000
NOTE_OPEN = (
    f"More than {MOST_OPEN_REQUESTS:,} requests are written at several stages: "
    "some early stages may not be marked as superseded."
)
_GKE_STATUS = {  # google.rpc.Code -> the HTTP status that stands for it (google/rpc/code.proto)
    "0": "200",
    "1": "499",
    "2": "500",
    "3": "400",
    "4": "504",
    "5": "404",
    "6": "409",
    "7": "403",
    "8": "429",
    "9": "400",
    "10": "409",
    "11": "400",
    "12": "501",
    "13": "500",
    "14": "503",
    "15": "500",
    "16": "401",
}


Request = tuple[str | None, ...]
"""The values of :data:`REQUEST`."""


def is_event(fields: dict[str, Any]) -> bool:
    """Whether an object is an audit event itself, of the audit API or of Cloud Logging."""
    if "auditID" in fields and ("stage" in fields or "verb" in fields or "requestURI" in fields):
        return True
    if fields.get("kind") == "Event" and str(fields.get("apiVersion", "")).startswith("audit.k8s.io"):
        return True
    return _is_gke(fields)


def _is_gke(fields: dict[str, Any]) -> bool:
    payload = fields.get("protoPayload")
    return isinstance(payload, dict) and payload.get("serviceName") == "k8s.io"


def convert(fields: dict[str, Any], limits: Limits, superseded: dict[Request, int]) -> Converted | str:
    """One element or line to the columns of :data:`KUBERNETES_AUDIT`.

    Args:
        superseded: requests written at several stages, with the latest stage's rank.
    """
    found = unwrap(fields, limits, wanted=is_event, text_keys=TEXT_KEYS, object_keys=OBJECT_KEYS)
    if found is None:
        kind = fields.get("kind")
        said = f"; its kind is {orjson.dumps(kind).decode()[:80]}" if "kind" in fields else ""
        return f"not a Kubernetes audit event: it has no auditID with a stage or verb{said}"
    if isinstance(found, str):
        return found
    event, flags = found
    provider = "gke" if _is_gke(event) else None
    if provider:
        event = from_cloud_logging(event)
    elif fields is not event:
        provider = "aks" if at(fields, "properties.log") is not None else None
    values: dict[str, str | None] = dict(flatten(event, whole=WHOLE))
    for name in OURS:
        if name in values and not (provider and name == "cluster"):
            values[f"raw.{name}"] = values.pop(name)
    for name in REQUESTED:
        if name not in values and isinstance(event.get("requestObject"), dict):
            values[name] = through(event, name)
    for name, paths in SHORT_NAMES.items():
        values[name] = next((text for path in paths if (text := values.get(path))), None)
    addresses = event.get("sourceIPs")
    if isinstance(addresses, list) and addresses and isinstance(addresses[0], str):
        values["source_ip"] = addresses[0]
        if any(isinstance(address, str) and invalid_address(address) for address in addresses):
            flags = (*flags, "address_invalid")
    values["provider"] = provider
    rank = STAGES.get(values.get("stage") or "", 2)
    if superseded and values.get("auditID") and superseded.get(tuple(map(values.get, REQUEST)), -1) > rank:
        values["superseded"] = "true"
    time_raw = next(
        (
            text
            for name in ("requestReceivedTimestamp", "stageTimestamp", "timestamp", "metadata.creationTimestamp")
            if (text := values.get(name))
        ),
        None,
    )
    time, said = timestamps.read_iso(time_raw) if time_raw else (None, ("time_unreadable",))
    return Converted(values, time, time_raw, (*flags, *said))


def from_cloud_logging(entry: dict[str, Any]) -> dict[str, Any]:
    """A LogEntry with an AuditLog of ``k8s.io`` as an event of the audit API.

    ``io.k8s.core.v1.pods.exec.create`` -> verb ``create``, resource ``pods``, subresource ``exec``;
    ``core/v1/namespaces/default/pods/web/exec`` -> namespace and name.  What has no counterpart stays
    under its own name.
    """
    payload = dict(entry["protoPayload"])
    operation = entry.get("operation") if isinstance(entry.get("operation"), dict) else {}
    method = str(payload.get("methodName", "")).split(".")
    path = str(payload.get("resourceName", "")).split("/")
    reference: dict[str, Any] = {}
    event: dict[str, Any] = {"kind": "Event", "objectRef": reference}
    if len(method) > 1:
        event["verb"] = method[-1]
        versions = [index for index, word in enumerate(method) if word[:1] == "v" and word[1:2].isdigit()]
        if versions:
            rest = method[versions[-1] + 1 : -1]
            reference["apiVersion"] = method[versions[-1]]
            if rest:
                reference["resource"] = rest[0]
            if len(rest) > 1:
                reference["subresource"] = rest[1]
    if len(path) > 1:
        if path[0] != "core":
            reference["apiGroup"] = path[0]
        parts = path[2:]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            reference["namespace"], parts = parts[1], parts[2:]
        if parts:
            reference.setdefault("resource", parts[0])
        if len(parts) > 1:
            reference["name"] = parts[1]
        if len(parts) > 2:
            reference.setdefault("subresource", parts[2])
    metadata = payload.pop("requestMetadata", None)
    if isinstance(metadata, dict):
        if metadata.get("callerIp"):
            event["sourceIPs"] = [metadata["callerIp"]]
        event["userAgent"] = metadata.get("callerSuppliedUserAgent")
    identity = payload.get("authenticationInfo")
    if isinstance(identity, dict):
        event["user"] = {"username": identity.get("principalEmail") or identity.get("principalSubject")}
    status = payload.get("status")
    code = as_text(status.get("code")) if isinstance(status, dict) else None
    if isinstance(status, dict):
        event["responseStatus"] = {"code": _GKE_STATUS.get(code or "0", code), "message": status.get("message")}
    labels = entry.get("labels")
    if isinstance(labels, dict):
        event["annotations"] = labels
    event["requestObject"], event["responseObject"] = payload.pop("request", None), payload.pop("response", None)
    event["auditID"] = (operation or {}).get("id") or entry.get("insertId")
    event["stage"] = "ResponseComplete" if (operation or {}).get("last", True) else "ResponseStarted"
    event["timestamp"] = entry.get("timestamp")
    event["cluster"] = at(entry, "resource.labels.cluster_name")
    event["protoPayload"] = payload
    event["entry"] = {key: value for key, value in entry.items() if key not in ("protoPayload", "labels", "timestamp")}
    return {key: value for key, value in event.items() if value is not None}


def later_stages(source: Source, context: ReadContext, documents: bool) -> tuple[dict[Request, int], bool]:
    """Requests written at an early stage and at a later one, with the rank of the latest stage.

    Only looked for where the words of an early stage occur at all.  The second value is whether the
    bound on requests looked at was reached.
    """
    if not _mentions_early_stage(source):
        return {}, False
    latest: dict[Request, int] = {}
    several: dict[Request, int] = {}
    full = False
    with source.open() as stream:
        keys = ENVELOPE_KEYS if documents else ()
        for block in json_lines(stream, context, documents=documents, envelope_keys=keys, notes=[]):
            if not isinstance(block, LineBlock):
                continue
            for line in block.lines:
                read = read_object(line, context.limits) if line and not line.isspace() else "blank"
                if isinstance(read, str):
                    continue
                found = unwrap(
                    read.fields, context.limits, wanted=is_event, text_keys=TEXT_KEYS, object_keys=OBJECT_KEYS
                )
                if not isinstance(found, tuple):
                    continue
                event = from_cloud_logging(found[0]) if _is_gke(found[0]) else found[0]
                stage = event.get("stage")
                if not isinstance(event.get("auditID"), str) or not isinstance(stage, str):
                    continue
                request = tuple(as_text(at(event, name)) for name in REQUEST)
                rank = STAGES.get(stage, 2)
                before = latest.get(request)
                if before is None:
                    if len(latest) >= MOST_OPEN_REQUESTS:
                        full = True
                        del latest[next(iter(latest))]
                    latest[request] = rank
                elif before != rank:
                    several[request] = latest[request] = max(before, rank)
    return several, full


def _mentions_early_stage(source: Source) -> bool:
    words = (*(stage.encode() for stage in EARLY), b'"operation"')
    with source.open() as stream:
        tail = b""
        while block := stream.read(1024 * 1024):
            data = tail + block
            if any(word in data for word in words):
                return True
            tail = block[-32:]
    return False


def _recognise(head: bytes, documents: bool) -> int:
    if b"audit" not in head and b"k8s.io" not in head:
        return 0
    framed, found = sample(head, ENVELOPE_KEYS)
    if not found or framed != documents:
        return 0
    good = sum(
        isinstance(unwrap(fields, Limits(), wanted=is_event, text_keys=TEXT_KEYS, object_keys=OBJECT_KEYS), tuple)
        for fields in found
    )
    return 90 if 2 * good >= len(found) else 0


def _read(source: Source, context: ReadContext, documents: bool) -> Iterator[Rows | Reject | Tally]:
    superseded, full = later_stages(source, context, documents)
    return read_records(
        source,
        context,
        KUBERNETES_AUDIT,
        partial(convert, superseded=superseded),
        documents=documents,
        envelope_keys=ENVELOPE_KEYS if documents else (),
        notes=lambda: (NOTE_OPEN,) if full else (),
    )


KUBERNETES_LINES = ReaderSpec(
    "kubernetes-audit-ndjson",
    2,
    (KUBERNETES_AUDIT,),
    partial(_recognise, documents=False),
    partial(_read, documents=False),
    continues=True,
)
KUBERNETES_DOCUMENTS = ReaderSpec(
    "kubernetes-audit-json", 2, (KUBERNETES_AUDIT,), partial(_recognise, documents=True), partial(_read, documents=True)
)
