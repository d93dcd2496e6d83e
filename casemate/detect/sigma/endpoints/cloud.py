"""Clouds and clusters: CloudTrail, S3 server access logs, Kubernetes audit."""

from __future__ import annotations

from casemate.detect.sigma.endpoints.parts import (
    Endpoints,
    EndpointTable,
    Text,
    account,
    call_outcome,
    identified,
)

DENIED = (
    *("accessdenied", "unauthorized", "client.unauthorized", "forbidden", "notauthorized", "authfailure"),
    *("invalidclienttokenid", "signaturedoesnotmatch", "expiredtoken", "explicitdeny", "invalidaccesskeyid"),
)
"""How the error codes begin by which AWS refuses a call (Common Errors of its API references)."""
DRY_RUN = ("dryrunoperation", "client.dryrunoperation")
"""The caller only asked whether it would be allowed."""


def _cloudtrail(
    ip: Text, arn: Text, principal: Text, owner: Text, service: Text, name: Text, error: Text, login: Text, bucket: Text
) -> Endpoints:
    outcome = "succeeded"
    if error is not None:
        said = error.lower()
        outcome = "unknown" if said in DRY_RUN else "blocked" if said.startswith(DENIED) else "failed"
    elif login is not None:
        outcome = "succeeded" if "Success" in login else "failed"
    short = service.removesuffix(".amazonaws.com") if service else None
    target = ("resource", bucket, short) if bucket else ("resource", f"account {owner}", short) if owner else None
    if target is None and short is not None:
        target = ("service", short, short)
    source = identified(ip, account(None, arn), account(None, principal))
    return Endpoints(source, target, "credential" if name == "ConsoleLogin" else "cloud_api", outcome)


CLOUDTRAIL = EndpointTable(
    (
        *("sourceIPAddress", "userIdentity.arn", "userIdentity.principalId", "recipientAccountId", "eventSource"),
        *("eventName", "errorCode", "responseElements.ConsoleLogin", "requestParameters.bucketName"),
    ),
    _cloudtrail,
)


def _s3_access(ip: Text, requester: Text, bucket: Text, status: Text) -> Endpoints:
    target = ("resource", bucket, "s3") if bucket else None
    return Endpoints(identified(ip, account(None, requester)), target, "cloud_api", call_outcome(status))


S3_ACCESS = EndpointTable(("remote_ip", "requester", "bucket", "http_status"), _s3_access)


def _kubernetes(
    ip: Text, user: Text, resource: Text, namespace: Text, name: Text, cluster: Text, code: Text, decision: Text
) -> Endpoints:
    outcome = "blocked" if decision == "forbid" else call_outcome(code)
    parts = [part for part in (namespace, resource, name) if part]
    target = ("resource", "/".join(parts), "kubernetes")
    if not parts:
        target = ("service", cluster or "kubernetes", "kubernetes")
    return Endpoints(identified(ip, account(None, user)), target, "cluster_api", outcome)


KUBERNETES_AUDIT = EndpointTable(
    (
        *("source_ip", "user.username", "objectRef.resource", "objectRef.namespace", "objectRef.name", "cluster"),
        *("responseStatus.code", "annotations.authorization.k8s.io/decision"),
    ),
    _kubernetes,
)
