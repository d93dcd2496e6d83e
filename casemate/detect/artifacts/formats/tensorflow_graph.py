"""TensorFlow: SavedModel, MetaGraph and frozen graphs.

Definition: ``tensorflow/core/protobuf/saved_model.proto``, ``meta_graph.proto``, ``framework/graph.proto``,
``node_def.proto``, ``function.proto``.  "TensorFlow models are programs" (``SECURITY.md``): a graph that is loaded and
called may read and write files; initialisers run while loading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.embedded import hunt
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.json_document import judge_document, parse
from casemate.detect.artifacts.formats.protobuf import LENGTH, VARINT, Message, WireError, shape
from casemate.detect.artifacts.formats.tensorflow_operators import OPERATORS
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.text import look_for_encoded

BAD_OPERATORS: dict[str, str] = {
    "ReadFile": "reads a file",
    "WriteFile": "writes a file",
    "PyFunc": "calls a Python function",
    "PyFuncStateless": "calls a Python function",
    "EagerPyFunc": "calls a Python function",
    "ImmutableConst": "maps a file into memory",
    "MatchingFiles": "lists files",
    "Save": "writes a file at a place that the graph names",
    "SaveSlices": "writes a file at a place that the graph names",
    "SaveDataset": "writes a file",
    "SaveDatasetV2": "writes a file",
    "LoadDataset": "reads a file",
    "SnapshotDataset": "writes a file",
    "CreateSummaryFileWriter": "writes a file",
    "LoadAndRemapMatrix": "reads a file",
    "RemoteCall": "runs a function on another machine",
    "RpcCall": "calls another machine",
    "RpcClient": "calls another machine",
    "RpcServer": "waits for calls",
    "TRTEngineOp": "loads a native engine",
    "DebugIdentityV2": "writes what it sees",
    "DebugNumericSummary": "writes what it sees",
    "LoadLibrary": "loads native code",
    "DataServiceDatasetV4": "asks another machine",
    "BigQueryReader": "asks another machine",
    "LMDBReader": "reads a file",
    "WholeFileReader": "reads a file",
    "WholeFileReaderV2": "reads a file",
    "SqlDataset": "reads a database",
    "DebugIdentity": "writes what it sees",
    "DebugIdentityV3": "writes what it sees",
    "TFRecordDataset": "reads a file",
    "TFRecordDatasetV2": "reads a file",
    "TFRecordReader": "reads a file",
    "TFRecordReaderV2": "reads a file",
    "TextLineDataset": "reads a file",
    "TextLineReader": "reads a file",
    "TextLineReaderV2": "reads a file",
    "FixedLengthRecordDataset": "reads a file",
    "FixedLengthRecordDatasetV2": "reads a file",
    "FixedLengthRecordReader": "reads a file",
    "FixedLengthRecordReaderV2": "reads a file",
    "CSVDataset": "reads a file",
    "CSVDatasetV2": "reads a file",
    "OpaquePyFunc": "calls a Python function",
}
MILD = frozenset({"MatchingFiles", "LoadDataset", "WholeFileReader", "WholeFileReaderV2", "LMDBReader", "TRTEngineOp", "SnapshotDataset",  # noqa: E501
                  "CreateSummaryFileWriter", "RemoteCall", "DataServiceDatasetV4", "DebugNumericSummary", "DebugIdentity", "DebugIdentityV3", "Save", "SaveSlices"})  # fmt: skip  # noqa: E501
READS_RECORDS = re.compile(r"(?:TFRecord|TextLine|FixedLengthRecord|CSV)(?:Dataset|Reader)")
_KNOWN_CUSTOM = re.compile(  # operators of TensorFlow's own companions: Text, Addons, Decision Forests
    r"(?:Addons|TFText|Text|SentencepieceOp|TFDF|Simple\w*|Wordpiece)>|Addons\w*>"
    r"|(?:Fast)?(?:Wordpiece|Bert|Sentencepiece|Whitespace|UnicodeScript|SplitMergeFromLogits|SplitMerge|StateBasedSentenceBreaker|"
    r"MaxSpanningTree|Ngrams|Phrase|RegexSplit|RoundRobin|ConstrainedSequence|TrimRound|Normalize|CaseFold|Utf8Binarize|"
    r"SentenceFragments|FindSourceOffsets|MstCore|Rouge|ByteSplit|TopologicalTextBreak)\w*$"
)
DEEPEST = 12

BAD = Rule(
    "tensorflow.operator", "malicious", UNSAFE_ARTIFACT, "runs the operator when the graph is called, or while loading"
)
ODD = Rule(
    "tensorflow.odd_operator",
    "suspicious",
    UNSAFE_ARTIFACT,
    "runs the operator when the graph is called, or while loading",
)
CUSTOM = Rule(
    "tensorflow.custom_operator", "suspicious", UNSAFE_ARTIFACT, "needs a library with the operator, and loads it"
)
ASSET = Rule("tensorflow.asset_path", "malicious", UNSAFE_ARTIFACT, "reads a file outside the model's folder")
BROKEN = Rule("tensorflow.broken", "unscannable", CORRUPT_MODEL, "raises an error: it is no whole message")
_FAR = re.compile(r"^(?:/|\w+://)|(?:^|/)\.\.(?:/|$)")


def _kind(content: Content) -> str | None:
    head = content.head(16)
    if not head or head[0] not in (0x08, 0x0A, 0x12, 0x1A, 0x22):
        return None
    fields = shape(content)
    if fields is None:
        return None
    if fields.get(1) == {VARINT} and fields.get(2) == {LENGTH} and set(fields) <= {1, 2}:
        return "saved_model" if _meta_graph(content) else None
    if (
        fields.get(1) == {LENGTH}
        and set(fields) <= {1, 2, 3, 4}
        and fields.get(3, {VARINT}) == {VARINT}
        and _first_is_node(content)
    ):
        return "graph"
    if content.name.lower().endswith("keras_metadata.pb"):
        return "keras_metadata"
    if (
        fields.get(1) == {LENGTH}
        and fields.get(2) == {LENGTH}
        and set(fields) <= {1, 2, 3, 4, 5, 6, 7}
        and content.name.endswith((".meta", ".pb"))
    ):
        return "meta_graph"
    return None


def _meta_graph(content: Content) -> bool:
    message = Message(content)
    for field in message.fields():
        if field.number == 2:
            numbers = {part.number for part in message.inner(field).fields()}
            return numbers <= {1, 2, 3, 4, 5, 6, 7} and bool(numbers & {1, 2})
    return False


def _first_is_node(content: Content) -> bool:
    message = Message(content)
    first = next(message.fields())
    found = {part.number: part for part in message.inner(first).fields()}
    if not {1, 2} <= found.keys() or not found.keys() <= {1, 2, 3, 4, 5, 6, 7}:
        return False
    return found[2].kind == LENGTH and re.fullmatch(r"_?[A-Z][\w>]*", message.text(found[2], 256)) is not None


def recognise(content: Content) -> bool:
    """Whether it has the fields of a SavedModel, a MetaGraph or a graph."""
    try:
        return _kind(content) is not None
    except (WireError, StopIteration):
        return False


def inspect(content: Content, inspection: Inspection) -> None:
    """Walk all nodes of all graphs and functions."""
    inspection.own_all()
    message = Message(content)
    try:
        match _kind(content):
            case "saved_model":
                for field in message.fields():
                    if field.number == 2:
                        _meta(message.inner(field), inspection)
            case "meta_graph":
                _meta(message, inspection)
            case "graph":
                _graph(message, inspection)
            case _:
                _keras(message, inspection)
    except WireError as error:
        inspection.report(BROKEN, str(error)[:200])
        hunt(content, [(0, content.size)], inspection)


def _meta(message: Message, inspection: Inspection) -> None:
    for field in message.fields():
        if field.kind != LENGTH:
            continue
        if field.number == 2:
            _graph(message.inner(field), inspection)
        elif field.number == 6:
            for part in message.inner(field).fields():
                if part.number == 2 and _FAR.search(message.text(part, 4096)):
                    inspection.report(ASSET, f"an asset at {message.text(part, 4096)!r}"[:200], part.begin)
        elif field.number == 7:
            _keras(message.inner(field), inspection)


def _graph(message: Message, inspection: Inspection) -> None:
    functions = list(_functions(message))
    own = frozenset(
        message.text(part, 1024)
        for function in functions
        for signature in function.fields()
        if signature.number == 1 and signature.kind == LENGTH
        for part in message.inner(signature).fields()
        if part.number == 1 and part.kind == LENGTH
    )
    for field in message.fields():
        if field.kind == LENGTH and field.number == 1:
            _node(message.inner(field), inspection, own)
    for function in functions:
        for part in function.fields():
            if part.number == 3 and part.kind == LENGTH:
                _node(message.inner(part), inspection, own)


def _functions(message: Message) -> Iterator[Message]:
    """The functions of a graph's library."""
    for field in message.fields():
        if field.kind == LENGTH and field.number == 2:
            for function in message.inner(field).fields():
                if function.number == 1 and function.kind == LENGTH:
                    yield message.inner(function)


def _node(message: Message, inspection: Inspection, own: frozenset[str]) -> None:
    name = kind = ""
    for field in message.fields():
        if field.number == 1 and field.kind == LENGTH:
            name = message.text(field, 256)
        elif field.number == 2 and field.kind == LENGTH:
            kind = message.text(field, 256)
        elif field.number == 5 and field.kind == LENGTH and field.end - field.begin > 40:
            data = message.bytes(field, 1 << 20)
            if b"gAS" in data or b"gAN" in data or b"gAJ" in data or b"eJ" in data or b"Y29z" in data:
                look_for_encoded(data.decode("latin-1"), inspection)
            if field.end - field.begin < 1 << 20:
                hunt(message.content, [(field.begin, field.end)], inspection)
        elif kind == "PrintV2" and field.number == 5 and b"file://" in message.bytes(field, 4096):
            inspection.report(BAD, f"the node {name!r} prints to a file"[:200], message.begin)
    judge_operator(f"the node {name!r}", kind, message.begin, inspection, own)


def judge_operator(
    what: str, kind: str, offset: int, inspection: Inspection, own: frozenset[str] = frozenset()
) -> None:
    """Report an operator of a graph if there is anything against it.

    Args:
        what: who is of that kind, as it is told.
        kind: the operator's name.
        offset: where it stands.
        own: names of functions that the graph itself defines.
    """
    effect = BAD_OPERATORS.get(kind)
    if effect:
        rule = ODD if kind in MILD or READS_RECORDS.match(kind) else BAD
        inspection.report(
            rule,
            f"{what} is a {kind}: {effect}"[:200],
            offset,
            effect=f"when the graph is called, or while loading: {effect}",
        )
    elif kind not in OPERATORS and kind not in own and not _KNOWN_CUSTOM.match(kind):
        inspection.report(CUSTOM, f"{what} is a {kind}"[:200], offset)


def _keras(message: Message, inspection: Inspection, depth: int = 0) -> None:
    """JSON that Keras stores for its objects (``SavedUserObject.metadata``, ``keras_metadata.pb``)."""
    for field in message.fields():
        if field.kind != LENGTH or field.end - field.begin < 16:
            continue
        head = message.content.read(field.begin, 1)
        if head == b"{":
            try:
                judge_document(parse(message.text(field, 64 << 20))[0], inspection)
            except (ValueError, RecursionError):
                continue
        elif depth < DEEPEST:
            try:
                _keras(message.inner(field), inspection, depth + 1)
            except WireError:
                continue


FORMAT = Format("tensorflow", recognise, inspect, (".pb",))
