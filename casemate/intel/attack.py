"""ATT&CK Enterprise (a STIX 2.x bundle) and ATLAS (YAML or JSON): techniques by id.

Only what the rest of the project asks for is kept: name, tactics, parent, whether an id is
revoked (and by what) or deprecated.  The files are not trusted: objects that are not what they
should be are passed over and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml

from casemate.errors import BadInput

ATTACK_ID = re.compile(r"T\d{4}(\.\d{3})?")
ATLAS_ID = re.compile(r"AML\.T\d{4}(\.\d{3})?")
ATTACK_SOURCE_NAMES = ("mitre-attack",)
DEEPEST_YAML = 40


@dataclass(frozen=True)
class Technique:
    """One technique of ATT&CK or ATLAS.

    Args:
        id: ``T1110.003`` or ``AML.T0024``.
        name: as published, without the parent's name.
        tactics: short names (``credential-access``), sorted; a sub-technique of ATLAS has its parent's.
        parent: id of the technique it is a part of.
        revoked_by: the id that replaced it, if it is revoked and the file says by what.
    """

    id: str
    name: str
    tactics: tuple[str, ...] = ()
    parent: str | None = None
    revoked: bool = False
    revoked_by: str | None = None
    deprecated: bool = False


@dataclass(frozen=True)
class Knowledge:
    """The techniques and tactics of one release.

    Args:
        framework: ``attack`` or ``atlas``.
        version: as the release names itself, if it does.
        dated: day of its newest change, ``YYYY-MM-DD``, if it says.
        techniques: by id.
        tactics: id (``TA0006``, ``AML.TA0013``) by short name.
        skipped: objects that were not readable.
    """

    framework: str
    version: str | None
    dated: str | None
    techniques: Mapping[str, Technique]
    tactics: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0

    def technique(self, technique_id: str) -> Technique | None:
        """A technique by its id in any case, or None."""
        return self.techniques.get(technique_id.upper())

    def counts(self) -> dict[str, int]:
        """What the release holds, for ``intel status``."""
        techniques = self.techniques.values()
        return {
            "techniques": sum(not (one.revoked or one.deprecated) for one in techniques),
            "revoked": sum(one.revoked for one in techniques),
            "deprecated": sum(one.deprecated and not one.revoked for one in techniques),
            "tactics": len(self.tactics),
        }


def parse_attack(content: bytes) -> Knowledge:
    """Read a STIX bundle of ATT&CK Enterprise.

    Raises:
        BadInput: not a STIX bundle, or one without techniques.
    """
    bundle = _json(content)
    objects = bundle.get("objects") if isinstance(bundle, dict) and bundle.get("type") == "bundle" else None
    if not isinstance(objects, list):
        raise BadInput("not a STIX bundle")
    own_id: dict[str, str] = {}
    patterns: list[dict[str, Any]] = []
    tactics: dict[str, str] = {}
    relations: list[tuple[str, str, str]] = []
    version = dated = None
    skipped = 0
    for one in objects:
        kind = one.get("type") if isinstance(one, dict) else None
        if kind == "attack-pattern":
            external = _external_id(one)
            if external is None or not ATTACK_ID.fullmatch(external):
                skipped += 1
                continue
            own_id[str(one.get("id"))] = external
            patterns.append(one)
        elif kind == "x-mitre-tactic":
            external, short = _external_id(one), one.get("x_mitre_shortname")
            if external and isinstance(short, str):
                tactics[short] = external
        elif kind == "x-mitre-collection":
            version = _text(one.get("x_mitre_version")) or version
        elif kind == "relationship":
            relations.append(
                (str(one.get("relationship_type")), str(one.get("source_ref")), str(one.get("target_ref")))
            )
        if isinstance(one, dict) and isinstance(one.get("modified"), str):
            dated = max(dated or "", one["modified"][:10])
    if not patterns:
        raise BadInput("the STIX bundle holds no ATT&CK techniques")
    replaced = {
        own_id[a]: own_id[b] for kind, a, b in relations if kind == "revoked-by" and a in own_id and b in own_id
    }
    parents = {
        own_id[a]: own_id[b] for kind, a, b in relations if kind == "subtechnique-of" and {a, b} <= own_id.keys()
    }
    techniques: dict[str, Technique] = {}
    for one in patterns:
        technique = _attack_technique(one, own_id[str(one["id"])], replaced, parents)
        known = techniques.get(technique.id)
        if known is None or known.revoked:  # an id that was given twice: the living one
            techniques[technique.id] = technique
    return Knowledge("attack", version, dated, techniques, tactics, skipped)


def _attack_technique(
    one: Mapping[str, Any], external: str, replaced: Mapping[str, str], parents: Mapping[str, str]
) -> Technique:
    phases = one.get("kill_chain_phases") or []
    named = {phase.get("phase_name") for phase in phases if isinstance(phase, dict)}
    parent = parents.get(external) or (external.partition(".")[0] if "." in external else None)
    return Technique(
        id=external,
        name=_text(one.get("name")) or external,
        tactics=tuple(sorted(name for name in named if isinstance(name, str))),
        parent=parent,
        revoked=one.get("revoked") is True,
        revoked_by=replaced.get(external),
        deprecated=one.get("x_mitre_deprecated") is True,
    )


def parse_atlas(content: bytes) -> Knowledge:
    """Read ATLAS as published (``ATLAS.yaml``) or the same as JSON.

    Raises:
        BadInput: not ATLAS, or without techniques.
    """
    document = _json(content) if content.lstrip()[:1] == b"{" else _yaml(content)
    matrices = document.get("matrices") if isinstance(document, dict) else None
    if not isinstance(matrices, list) or str(document.get("id")) != "ATLAS":
        raise BadInput("not a release of ATLAS")
    short: dict[str, str] = {}
    entries: dict[str, Mapping[str, Any]] = {}
    skipped, dated = 0, None
    for matrix in matrices:
        for one in _objects(matrix, "tactics"):
            if isinstance(one.get("id"), str) and isinstance(one.get("name"), str):
                short[one["id"]] = one["name"].lower().replace("&", "and").replace(" ", "-")
        for one in _objects(matrix, "techniques"):
            identity = one.get("id")
            if not isinstance(identity, str) or not ATLAS_ID.fullmatch(identity):
                skipped += 1
                continue
            entries[identity] = one
            dated = max(dated or "", str(one.get("modified_date") or "")[:10]) or None
    if not entries:
        raise BadInput("the release of ATLAS holds no techniques")
    techniques = {}
    for identity, one in entries.items():
        parent = _text(one.get("subtechnique-of"))
        owner = entries.get(parent, one) if parent else one
        listed = owner.get("tactics")
        named = {short.get(str(tactic), str(tactic)) for tactic in listed} if isinstance(listed, list) else set()
        techniques[identity] = Technique(identity, _text(one.get("name")) or identity, tuple(sorted(named)), parent)
    tactics = {name: identity for identity, name in short.items()}
    return Knowledge("atlas", _text(document.get("version")), dated, techniques, tactics, skipped)


def as_plain(knowledge: Knowledge) -> dict[str, Any]:
    """`knowledge` as values that JSON knows, to be read back quickly."""
    return {
        "framework": knowledge.framework,
        "version": knowledge.version,
        "dated": knowledge.dated,
        "techniques": [list(vars(one).values()) for one in knowledge.techniques.values()],
        "tactics": dict(knowledge.tactics),
        "skipped": knowledge.skipped,
    }


def from_plain(plain: Mapping[str, Any]) -> Knowledge:
    """The inverse of :func:`as_plain`."""
    techniques = [Technique(i, name, tuple(tactics), *rest) for i, name, tactics, *rest in plain["techniques"]]
    return Knowledge(
        plain["framework"],
        plain["version"],
        plain["dated"],
        {one.id: one for one in techniques},
        plain["tactics"],
        plain["skipped"],
    )


def _external_id(one: Mapping[str, Any]) -> str | None:
    for reference in one.get("external_references") or []:
        if isinstance(reference, dict) and reference.get("source_name") in ATTACK_SOURCE_NAMES:
            return _text(reference.get("external_id"))
    return None


def _objects(matrix: Any, name: str) -> Iterable[Mapping[str, Any]]:
    found = matrix.get(name) if isinstance(matrix, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error}") from error


def _yaml(content: bytes) -> Any:
    """YAML by the safe loader; nesting is bounded first, since libyaml recurses in C.  Anchors are
    refused: a few of them can make a small file large."""
    try:
        depth = 0
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.AliasEvent):
                raise BadInput("YAML with aliases is not read")
            if depth > DEEPEST_YAML:
                raise BadInput(f"YAML nested more than {DEEPEST_YAML} deep")
        return yaml.load(content, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"not YAML: {' '.join(str(error).split())[:200]}") from error
