"""Clouds and clusters."""

from __future__ import annotations

from casemate.detect.sigma.logsources.source import EventSource, LogSource, having

CLOUDTRAIL = EventSource("CloudTrail", "cloudtrail")
KUBERNETES = EventSource("Kubernetes audit", "kubernetes_audit", (having("superseded", absent=True),))
"""One event per request: earlier stages are marked ``superseded``."""

CLOUD: dict[LogSource, tuple[EventSource, ...]] = {
    ("aws", None, "cloudtrail"): (CLOUDTRAIL,),
    ("aws", None, None): (CLOUDTRAIL,),
    ("kubernetes", None, "audit"): (KUBERNETES,),
    ("kubernetes", "application", "audit"): (KUBERNETES,),
    ("kubernetes", None, None): (KUBERNETES,),
}
