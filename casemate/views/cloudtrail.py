"""AWS -> OCSF: ``cloudtrail`` and ``s3_access``.

Every event is an ``api_activity``; logins to the console and calls that hand out credentials are
``authentication`` besides.  A caller that is a service (``ec2.amazonaws.com``) has no source address.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
import ibis
import ibis.expr.types as ir

from casemate.schema.ocsf import API_ACTIVITY, AUTHENTICATION
from casemate.views.base import View

CREDENTIAL_CALLS = (
    *("AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetSessionToken", "GetFederationToken"),
)
RESOURCES: tuple[tuple[str, str], ...] = (  # first parameter that is there -> type of resource
    ("requestParameters.bucketName", "bucket"),
    ("requestParameters.secretId", "secret"),
    ("requestParameters.functionName", "function"),
    ("requestParameters.instanceId", "instance"),
    ("requestParameters.snapshotId", "snapshot"),
    ("requestParameters.imageId", "image"),
    ("requestParameters.keyId", "key"),
    ("requestParameters.trailName", "trail"),
    ("requestParameters.roleArn", "role"),
    ("requestParameters.roleName", "role"),
    ("requestParameters.userName", "user"),
    ("requestParameters.groupName", "group"),
    ("requestParameters.groupId", "security_group"),
    ("requestParameters.clusterName", "cluster"),
    ("requestParameters.name", "name"),
)
_LIKE_ADDRESS = r"^[0-9]+\.[0-9.]+$|^[0-9a-fA-F]*:[0-9a-fA-F:.]*$"


def _failed(table: ibis.Table) -> ir.BooleanValue:
    login = table["responseElements.ConsoleLogin"]
    return (table.errorCode.notnull() | (login == "Failure")).fill_null(False)


def _address(text: ir.StringColumn) -> ir.StringValue:
    return ibis.ifelse(text.re_search(_LIKE_ADDRESS), text, ibis.null("string"))


def _user(table: ibis.Table) -> ir.StringValue:
    return ibis.coalesce(
        table["userIdentity.userName"],
        table["userIdentity.sessionContext.sessionIssuer.userName"],
        table["userIdentity.arn"],
        table["userIdentity.invokedBy"],
        table["userIdentity.principalId"],
    )


def cloudtrail_api(table: ibis.Table) -> ibis.Table:
    """All events."""
    named = [(table[column].notnull(), kind) for column, kind in RESOURCES]
    return table.select(
        "evidence",
        "record",
        "time",
        activity_name=ibis.cases(
            (table.readOnly == "true", "Read"), (table.readOnly == "false", "Update"), else_="Other"
        ),
        status=ibis.ifelse(_failed(table), "Failure", "Success"),
        status_detail=table.errorMessage,
        metadata_product_name=ibis.literal("aws"),
        metadata_log_name=ibis.literal("cloudtrail"),
        src_endpoint_ip=_address(table.sourceIPAddress),
        api_operation=table.eventName,
        api_service_name=table.eventSource,
        api_request_uid=table.requestID.coalesce(table.eventID),
        api_response_code=table.errorCode,
        http_request_user_agent=table.userAgent,
        actor_user_name=_user(table),
        actor_user_type=table["userIdentity.type"],
        actor_user_account_uid=table["userIdentity.accountId"].coalesce(table.recipientAccountId),
        actor_user_credential_uid=table["userIdentity.accessKeyId"],
        cloud_provider=ibis.literal("AWS"),
        cloud_region=table.awsRegion,
        resource_name=ibis.coalesce(*(table[column] for column, _ in RESOURCES)),
        resource_type=ibis.cases(*named, else_=ibis.null("string")),
    )


def cloudtrail_authentication(table: ibis.Table) -> ibis.Table:
    """Console logins and calls that hand out credentials."""
    console = (table.eventName == "ConsoleLogin") & (table.eventSource == "signin.amazonaws.com")
    token = table.eventName.isin(CREDENTIAL_CALLS) & (table.eventSource == "sts.amazonaws.com")
    rows = table.filter(console | token)
    is_console = rows.eventName == "ConsoleLogin"
    role = rows["requestParameters.roleArn"]
    return rows.select(
        "evidence",
        "record",
        "time",
        activity_name=ibis.ifelse(is_console, "Logon", "Service Ticket Request"),
        status=ibis.ifelse(_failed(rows), "Failure", "Success"),
        status_detail=rows.errorMessage.coalesce(rows.errorCode),
        metadata_product_name=ibis.literal("aws"),
        metadata_log_name=ibis.literal("cloudtrail"),
        src_endpoint_ip=_address(rows.sourceIPAddress),
        dst_endpoint_hostname=ibis.ifelse(is_console, rows.recipientAccountId, role.coalesce(rows.recipientAccountId)),
        user_name=_user(rows),
        user_domain=rows["userIdentity.accountId"],
        auth_protocol=ibis.ifelse(is_console, ibis.null("string"), rows.eventName),
        logon_type=rows["userIdentity.type"],
        service_name=ibis.ifelse(is_console, "aws_console", "aws_sts"),
        session_uid=rows["responseElements.credentials.accessKeyId"],
        unmapped_attempts=ibis.literal(1, "int64"),
    )


def s3_api(table: ibis.Table) -> ibis.Table:
    """Requests in S3 server access logs; 4xx and 5xx failed."""
    status = table.http_status
    anonymous = ibis.ifelse(table.requester.isnull(), "Anonymous", ibis.null("string"))
    return table.select(
        "evidence",
        "record",
        "time",
        activity_name=ibis.cases(
            (table.operation.re_search(r"\.(GET|HEAD|OPTIONS)\."), "Read"),
            (table.operation.re_search(r"\.DELETE\."), "Delete"),
            (table.operation.re_search(r"\.PUT\."), "Update"),
            (table.operation.re_search(r"\.(POST|COPY)\."), "Create"),
            else_="Other",
        ),
        status=ibis.cases(
            (status.re_search("^[123]"), "Success"), (status.re_search("^[45]"), "Failure"), else_="Unknown"
        ),
        status_detail=table.error_code,
        metadata_product_name=ibis.literal("aws"),
        metadata_log_name=ibis.literal("s3_access"),
        src_endpoint_ip=_address(table.remote_ip),
        api_operation=table.operation,
        api_service_name=ibis.literal("s3.amazonaws.com"),
        api_request_uid=table.request_id,
        api_response_code=table.http_status,
        http_request_user_agent=table.user_agent,
        actor_user_name=table.requester,
        actor_user_type=anonymous,
        cloud_provider=ibis.literal("AWS"),
        resource_name=ibis.ifelse(table.key.isnull(), table.bucket, table.bucket + "/" + table.key),
        resource_type=ibis.ifelse(table.key.isnull(), "bucket", "object"),
    )


VIEWS: tuple[View, ...] = (
    View("cloudtrail", API_ACTIVITY, cloudtrail_api),
    View("cloudtrail", AUTHENTICATION, cloudtrail_authentication),
    View("s3_access", API_ACTIVITY, s3_api),
)
