"""Kubernetes audit events in all forms; stages of one request are told apart."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_reading import SMALL, Reading, filled, read

from casemate.evidence.readers.kubernetes_audit import KUBERNETES_DOCUMENTS, KUBERNETES_LINES

EVENT = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "verb": "create",
    "requestURI": "/api/v1/namespaces/prod/pods",
    "user": {"username": "al", "groups": ["dev", "system:authenticated"]},
    "sourceIPs": ["192.0.2.4", "10.0.0.1"],
    "objectRef": {"resource": "pods", "namespace": "prod", "name": "p"},
    "responseStatus": {"code": 201},
    "requestReceivedTimestamp": "2024-03-04T05:06:07.123456Z",
    "annotations": {"authorization.k8s.io/decision": "allow"},
    "requestObject": {
        "kind": "Pod",
        "spec": {
            "containers": [{"image": "a"}, {"image": "b", "securityContext": {"privileged": True}}],
            "volumes": [{"hostPath": {"path": "/"}}],
        },
    },
}
EARLY = {**EVENT, "stage": "RequestReceived"}
TEXT = json.dumps(EVENT)
GKE = {
    "insertId": "i",
    "timestamp": "2024-03-04T05:06:07Z",
    "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "c"}},
    "labels": {"authorization.k8s.io/decision": "forbid"},
    "operation": {"id": "op", "first": True, "last": True},
    "protoPayload": {
        "serviceName": "k8s.io",
        "methodName": "io.k8s.core.v1.pods.exec.create",
        "resourceName": "core/v1/namespaces/prod/pods/p/exec",
        "authenticationInfo": {"principalEmail": "al@example.org"},
        "requestMetadata": {"callerIp": "192.0.2.4", "callerSuppliedUserAgent": "kubectl"},
        "status": {"code": 7, "message": "Forbidden"},
    },
}


def read_either(content: bytes) -> Reading:
    lines, documents = KUBERNETES_LINES.recognise(content), KUBERNETES_DOCUMENTS.recognise(content)
    assert max(lines, documents) >= 80
    assert min(lines, documents) == 0
    return read(KUBERNETES_DOCUMENTS if documents else KUBERNETES_LINES, content)


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        json.dumps(EVENT, indent=2),
        json.dumps([EVENT]),
        json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [EVENT]}),
        json.dumps({"logGroup": "/aws/eks/c/cluster", "logEvents": [{"id": "1", "timestamp": 1, "message": TEXT}]}),
        json.dumps({"@timestamp": "x", "@message": EVENT}) + "\n",
        json.dumps({"records": [{"category": "kube-audit", "properties": {"log": TEXT + "\n"}}]}),
        json.dumps({"category": "kube-audit", "properties": {"log": TEXT}}) + "\n",
    ],
)
def test_every_form_gives_the_same_row(content: str) -> None:
    (row,) = read_either(content.encode()).rows
    assert row["time"] == datetime(2024, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
    assert (row["verb"], row["objectRef.resource"], row["objectRef.namespace"]) == ("create", "pods", "prod")
    assert (row["user.username"], json.loads(row["user.groups"])) == ("al", ["dev", "system:authenticated"])
    assert (row["source_ip"], row["responseStatus.code"]) == ("192.0.2.4", "201")
    assert row["annotations.authorization.k8s.io/decision"] == "allow"
    assert row["requestObject.spec.containers.image"] == '["a","b"]'
    assert row["requestObject.spec.containers.securityContext.privileged"] == "true"
    assert row["hostPath"] == "/"


def test_an_early_stage_is_superseded_by_a_later_one_of_the_same_file() -> None:
    other = {**EARLY, "auditID": "a-2"}
    content = "\n".join(map(json.dumps, [EARLY, other, EVENT])).encode()
    assert [row.get("superseded") for row in read_either(content).rows] == ["true", None, None]


def test_a_later_stage_may_stand_before_the_early_one() -> None:
    content = json.dumps([EVENT, EARLY]).encode()
    assert [row.get("superseded") for row in read_either(content).rows] == [None, "true"]


@pytest.mark.parametrize(
    "other",
    [{"verb": "get"}, {"requestURI": "/healthz"}, {"user": {"username": "eve"}}, {"verb": None}, {"verb": ["create"]}],
)
def test_a_client_that_chooses_its_audit_id_hides_no_other_request(other: dict) -> None:
    content = "\n".join(map(json.dumps, [EARLY, {**EVENT, **other}])).encode()
    assert [row.get("superseded") for row in read_either(content).rows] == [None, None]


def test_an_event_cannot_supersede_itself() -> None:
    row = filled(read_either(json.dumps({**EVENT, "superseded": "true"}).encode()).rows[0])
    assert "superseded" not in row
    assert json.loads(row["rest"])["raw.superseded"] == "true"


def test_cloud_logging_is_brought_to_the_names_of_the_audit_api() -> None:
    row = filled(read_either(json.dumps([GKE]).encode()).rows[0])
    assert (row["verb"], row["objectRef.resource"], row["objectRef.subresource"]) == ("create", "pods", "exec")
    assert (row["objectRef.namespace"], row["objectRef.name"], row["cluster"]) == ("prod", "p", "c")
    assert (row["user.username"], row["source_ip"], row["userAgent"]) == ("al@example.org", "192.0.2.4", "kubectl")
    assert (row["responseStatus.code"], row["provider"]) == ("403", "gke")


def test_what_is_no_event_is_rejected_with_words() -> None:
    reading = read(KUBERNETES_LINES, b'{"kind": 0}\n[]\n')
    assert [reject.reason for reject in reading.rejects] == [
        "not a Kubernetes audit event: it has no auditID with a stage or verb; its kind is 0",
        "not a JSON object",
    ]
    assert KUBERNETES_LINES.recognise(b'{"kind": 0}\n') == 0


def test_the_real_events(shared_data: Path) -> None:
    kept = rejected = 0
    with zipfile.ZipFile(shared_data / "cloud" / "kubernetes-audit.zip") as members:
        for name in members.namelist():
            if name.endswith(".json"):
                content = members.read(name)
                documents = KUBERNETES_DOCUMENTS.recognise(content) > 0
                reading = read(KUBERNETES_DOCUMENTS if documents else KUBERNETES_LINES, content)
                kept, rejected = kept + len(reading.rows), rejected + len(reading.rejects)
                assert all(row["time"] and row["verb"] for row in reading.rows)
    assert (kept, rejected) == (17, 1)


@given(
    st.binary(max_size=200)
    | st.tuples(st.integers(0, len(TEXT)), st.binary(max_size=4), st.integers(0, 40)).map(
        lambda cut: TEXT.encode()[: cut[0]] + cut[1] + TEXT.encode()[cut[0] + cut[2] :]
    )
    | st.dictionaries(
        st.sampled_from(["kind", "auditID", "stage", "verb", "protoPayload", "operation", "message", "properties"]),
        st.none() | st.text(max_size=3) | st.lists(st.integers()) | st.just({"serviceName": "k8s.io", "log": "{}"}),
    ).map(lambda value: json.dumps(value).encode())
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_accounted_for(content: bytes) -> None:
    for spec in (KUBERNETES_LINES, KUBERNETES_DOCUMENTS):
        assert 0 <= spec.recognise(content) <= 100
        read(spec, content, limits=SMALL)
        read(spec, b'{"items":[' + content + b"]}", limits=SMALL)
