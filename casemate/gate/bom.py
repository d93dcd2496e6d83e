"""A bill of materials of what stood at the gate: CycloneDX 1.6 with machine-learning models, through its library."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from casemate.errors import MissingExtra
from casemate.gate.decide import Decision

MODELS = frozenset(
    {"pickle", "zip", "safetensors", "gguf", "hdf5", "onnx", "tensorflow", "numpy", "tar", "xml", "model_part"}
)
"""Formats that hold models; of the others data sets are data and the rest files."""
DATA = frozenset({"columns"})


def bom(decision: Decision) -> str:
    """The bill as JSON text.

    Raises:
        MissingExtra: the library is not installed.
    """
    try:
        model: Any = import_module("cyclonedx.model")
        parts: Any = import_module("cyclonedx.model.component")
        boms: Any = import_module("cyclonedx.model.bom")
        output: Any = import_module("cyclonedx.output.json")
    except ImportError as error:
        raise MissingExtra(
            f"a bill of materials needs the library cyclonedx-python-lib ({error})", hint="pip install 'casemate[gate]'"
        ) from None

    digests = {verdict.path: digest for verdict, digest in _matched(decision)}

    def component(verdict: Any) -> Any:
        formats = set(verdict.format.split("+"))
        kind = parts.ComponentType.FILE
        if formats & MODELS:
            kind = parts.ComponentType.MACHINE_LEARNING_MODEL
        elif formats & DATA:
            kind = parts.ComponentType.DATA
        digest = digests.get(verdict.path) or verdict.sha256
        return parts.Component(
            name=verdict.path,
            type=kind,
            bom_ref=f"{digest or 'unread'}:{verdict.path}",
            hashes=[model.HashType(alg=model.HashAlgorithm.SHA_256, content=digest)] if digest else [],
            properties=[
                model.Property(name="casemate:verdict", value=verdict.verdict),
                model.Property(name="casemate:format", value=verdict.format),
                model.Property(name="casemate:bytes", value=str(verdict.bytes)),
                *(
                    model.Property(name="casemate:reason", value=f"{reason.code}: {reason.text}"[:500])
                    for reason in verdict.reasons[:20]
                    if reason.severity != "note"
                ),
            ],
        )

    made = boms.Bom(components=[component(verdict) for verdict in decision.verdicts])
    made.metadata.timestamp = decision.time
    made.metadata.component = parts.Component(
        name=decision.path,
        type=parts.ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"artifact:{decision.digest}",
        hashes=[model.HashType(alg=model.HashAlgorithm.SHA_256, content=decision.digest)],
        properties=[model.Property(name="casemate:allowed", value=str(decision.allowed).lower())],
    )
    made.register_dependency(made.metadata.component, made.components)
    return output.JsonV1Dot6(made).output_as_string(indent=2)


def _matched(decision: Decision) -> list[tuple[Any, str]]:
    """Verdicts with the digests of their files: the end of a verdict's path is the file's name."""
    by_name = dict(decision.digests)
    found = []
    for verdict in decision.verdicts:
        relative = verdict.path.removeprefix(decision.path).lstrip("/") or verdict.path.rpartition("/")[2]
        if relative in by_name:
            found.append((verdict, by_name[relative]))
    return found
