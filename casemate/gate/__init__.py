"""The protocol for models and data: may an artefact enter or leave?

``policy.py`` reads the policy (TOML), ``decide.py`` holds an artefact against it rule by rule, ``signing.py`` wraps
OpenSSF model-signing, ``provenance.py`` reads attestations, ``approvals.py`` counts people, ``audit.py`` writes every
decision down and tells what the protocol costs, ``sarif.py`` and ``bom.py`` tell other systems, ``edge.py`` answers
over HTTP.
"""

from casemate.gate.decide import Decision, Request, RuleResult, decide
from casemate.gate.policy import Policy, read_policy

__all__ = ["Decision", "Policy", "Request", "RuleResult", "decide", "read_policy"]
