"""AWS CloudTrail -> table ``cloudtrail``.

Delivered as ``{"Records": [...]}``, and seen as bare arrays, one event a line, pretty-printed documents, and
wrapped by CloudWatch Logs (``logEvents[].message``, ``@message``), by the lookup call
(``Events[].CloudTrailEvent``), by EventBridge (``detail``) and by search engines (``_source``).

The names are CloudTrail's own with dots for nesting
(https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference.html).
``requestParameters`` and ``responseElements`` hold the whole object as JSON text, since rules search in them;
their parts stand beside them under dotted names.  ``sourceIPAddress`` may name a service
(``ec2.amazonaws.com``); what is written like an address and is none is flagged ``address_invalid``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from casemate.evidence.readers import timestamps
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_records import Converted, invalid_address, read_records, sample, unwrap
from casemate.evidence.readers.json_values import as_text, flatten, through
from casemate.limits import Limits
from casemate.schema.native import NativeTable

WHOLE = ("requestParameters", "responseElements")
CLOUDTRAIL = NativeTable(
    "cloudtrail",
    (
        *("eventVersion", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent"),
        *("errorCode", "errorMessage", "requestID", "eventID", "eventType", "eventCategory", "apiVersion"),
        *("readOnly", "managementEvent", "recipientAccountId", "sharedEventID", "vpcEndpointId", "edgeDeviceDetails"),
        *("userIdentity.type", "userIdentity.principalId", "userIdentity.arn", "userIdentity.accountId"),
        *("userIdentity.accessKeyId", "userIdentity.userName", "userIdentity.invokedBy"),
        "userIdentity.identityProvider",
        "userIdentity.sessionContext.sessionIssuer.type",
        "userIdentity.sessionContext.sessionIssuer.arn",
        "userIdentity.sessionContext.sessionIssuer.principalId",
        "userIdentity.sessionContext.sessionIssuer.userName",
        "userIdentity.sessionContext.attributes.mfaAuthenticated",
        "userIdentity.sessionContext.attributes.creationDate",
        "userIdentity.sessionContext.sourceIdentity",
        *WHOLE,
        *("requestParameters.bucketName", "requestParameters.key", "requestParameters.userName"),
        *("requestParameters.roleName", "requestParameters.roleArn", "requestParameters.roleSessionName"),
        *("requestParameters.groupName", "requestParameters.groupId", "requestParameters.policyArn"),
        *("requestParameters.policyName", "requestParameters.policyDocument", "requestParameters.instanceId"),
        *("requestParameters.functionName", "requestParameters.secretId", "requestParameters.name"),
        *("requestParameters.names", "requestParameters.trailName", "requestParameters.attribute"),
        *("requestParameters.attributeType", "requestParameters.snapshotId", "requestParameters.imageId"),
        *("requestParameters.keyId", "requestParameters.layers", "requestParameters.enable"),
        *("requestParameters.documentName", "requestParameters.durationSeconds", "requestParameters.clusterName"),
        "requestParameters.containerDefinitions.command",
        "requestParameters.ipPermissions.items.ipRanges.items.cidrIp",
        *("responseElements.ConsoleLogin", "responseElements.publiclyAccessible"),
        "responseElements.pendingModifiedValues.masterUserPassword",
        *("responseElements.accessKey.accessKeyId", "responseElements.accessKey.userName"),
        "responseElements.credentials.accessKeyId",
        *("responseElements.assumedRoleUser.arn", "responseElements.user.userName"),
        *("additionalEventData.MFAUsed", "additionalEventData.LoginTo", "additionalEventData.MobileVersion"),
        *("additionalEventData.bytesTransferredIn", "additionalEventData.bytesTransferredOut"),
        *("additionalEventData.AuthenticationMethod", "additionalEventData.UserName"),
        *("tlsDetails.tlsVersion", "tlsDetails.clientProvidedHostHeader", "resources", "serviceEventDetails"),
    ),
    "Events of AWS CloudTrail.",
)

ENVELOPE_KEYS = ("Records", "records", "logEvents", "events", "Events", "results")
TEXT_KEYS = ("message", "@message", "CloudTrailEvent", "_raw", "event.original", "Message")
OBJECT_KEYS = ("detail", "_source", "result", "@message", "message", "event", "CloudTrailEvent")
_THROUGH_ARRAYS = tuple(
    name for name in CLOUDTRAIL.columns if name.count(".") >= 2 and name.startswith("requestParameters.")
)


def is_event(fields: dict[str, Any]) -> bool:
    """Whether an object is a CloudTrail event itself."""
    if "eventName" in fields and "eventSource" in fields:
        return True
    return "eventVersion" in fields and ("eventType" in fields or "insightDetails" in fields)


def convert(fields: dict[str, Any], limits: Limits) -> Converted | str:
    """One element or line to the columns of :data:`CLOUDTRAIL`."""
    found = unwrap(fields, limits, wanted=is_event, text_keys=TEXT_KEYS, object_keys=OBJECT_KEYS)
    if found is None:
        return "not a CloudTrail event: it has no eventName and eventSource"
    if isinstance(found, str):
        return found
    event, flags = found
    values: dict[str, str | None] = dict(flatten(event))
    for name in WHOLE:
        if isinstance(event.get(name), (dict, list)):
            values[name] = as_text(event[name])
    for name in _THROUGH_ARRAYS:
        if name not in values and name.split(".")[1] in (event.get("requestParameters") or ()):
            values[name] = through(event, name)
    time_raw = as_text(event.get("eventTime"))
    time, said = timestamps.read_iso(time_raw) if time_raw else (None, ("time_unreadable",))
    flags = (*flags, *said)
    address = values.get("sourceIPAddress")
    if address and invalid_address(address):
        flags = (*flags, "address_invalid")
    return Converted(values, time, time_raw, flags)


def _recognise(head: bytes, documents: bool) -> int:
    if b"eventName" not in head and b"eventVersion" not in head:
        return 0
    framed, found = sample(head, ENVELOPE_KEYS)
    if not found or framed != documents:
        return 0
    good = 0
    for fields in found:
        inside = unwrap(fields, Limits(), wanted=is_event, text_keys=TEXT_KEYS, object_keys=OBJECT_KEYS)
        if isinstance(inside, tuple) and "." in str(inside[0].get("eventSource", ".")):
            good += 1
    return 90 if 2 * good >= len(found) else 0


def _read(source: Source, context: ReadContext, documents: bool) -> Iterator[Rows | Reject | Tally]:
    return read_records(
        source, context, CLOUDTRAIL, convert, documents=documents, envelope_keys=ENVELOPE_KEYS if documents else ()
    )


CLOUDTRAIL_LINES = ReaderSpec(
    "cloudtrail-ndjson",
    1,
    (CLOUDTRAIL,),
    partial(_recognise, documents=False),
    partial(_read, documents=False),
    continues=True,
)
CLOUDTRAIL_DOCUMENTS = ReaderSpec(
    "cloudtrail-json", 1, (CLOUDTRAIL,), partial(_recognise, documents=True), partial(_read, documents=True)
)
