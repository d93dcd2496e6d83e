"""XML: PMML models, SVG pictures, feeds of parameters; what a parser would fetch, read or run.

Definition: XML 1.0, XInclude 1.0, XSLT 1.0; PMML 4.4.  Loaders: lxml, Xerces and JPMML, of which many resolve external
entities.  Parsed here by expat, which fetches nothing and bounds what entities expand to.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, UNSAFE_ARTIFACT, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.acts import always, report_acts
from casemate.detect.artifacts.sources.markup import judge_markup
from casemate.detect.artifacts.sources.text import decoded, look_for_encoded

MOST_BYTES = 256 << 20
NESTED_ENTITIES = 8

ENTITY = Rule("xml.external_entity", "malicious", UNSAFE_ARTIFACT, "reads the file or address that the entity names")
DOCTYPE = Rule("xml.external_dtd", "suspicious", UNSAFE_ARTIFACT, "fetches the definition from the address")
BOMB = Rule("xml.entity_bomb", "malicious", UNSAFE_ARTIFACT, "expands entities until memory is used up")
ENTITIES = Rule("xml.entities", "note", None, "replaces the entity by its text")
INCLUDE = Rule("xml.include", "malicious", UNSAFE_ARTIFACT, "includes the file or address")
STYLE = Rule("xml.stylesheet", "suspicious", UNSAFE_ARTIFACT, "applies the style sheet, which may run code")
RUNS = Rule("xml.runs_code", "malicious", UNSAFE_ARTIFACT, "builds the objects it names and calls them")
FUNCTION = Rule("pmml.function", "suspicious", UNSAFE_ARTIFACT, "loads the class that the function is named after")
SCHEMA = Rule("xml.schema_location", "note", None, "may fetch the schema")
BROKEN = Rule("xml.broken", "unscannable", CORRUPT_MODEL, "raises an error, or repairs it")

_START = re.compile(
    rb"\s*(?:<\?xml\b|<!DOCTYPE\b|<!ENTITY\b|<(?:\w+:)?(?:PMML|svg|beans|java|project|root|xsl:stylesheet|stylesheet)\b)"
)
_KNOWN_DTD = re.compile(
    r"https?://(?:www\.w3\.org|www\.apple\.com|java\.sun\.com|www\.oasis-open\.org|docbook\.org|www\.dmg\.org)/",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"java\.lang\.(?:Runtime|ProcessBuilder)|java\.beans\.XMLDecoder|javax\.script|javax\.naming|<void\s+method=\"exec\"|"
    r"org\.apache\.commons\.collections\.functors|com\.sun\.org\.apache\.xalan|msxsl:script|xalan:script|php:function|"
    r"java:java\.lang|xmlns:\w+=\"(?:http://xml\.apache\.org/(?:xalan/)?java|java:|urn:schemas-microsoft-com:xslt)|__import__\(|os\.system\(|subprocess\."
)


def recognise(content: Content) -> bool:
    """Whether it begins like an XML document."""
    head = content.head(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode()
    head = head.removeprefix(b"\xef\xbb\xbf")
    return bool(_START.match(head)) or (content.name.lower().endswith((".pmml", ".xml")) and head.lstrip()[:1] == b"<")


def inspect(content: Content, inspection: Inspection) -> None:
    """Parse it without fetching anything and judge declarations, includes and code."""
    inspection.own_all()
    if content.size > MOST_BYTES:
        inspection.report(BROKEN, f"more than {MOST_BYTES} bytes")
        return
    text = decoded(content) or content.whole().decode("latin-1")
    _parse(content, inspection)
    match = _CODE.search(text)
    if match:
        inspection.report(RUNS, f"it names {match.group()[:80]!r}", match.start())
    if re.search(r"<(?:\w+:)?(?:svg|html)\b", text[:65536]):
        report_acts(judge_markup(text), always("suspicious", "script"), "page", inspection)
    look_for_encoded(text, inspection)


def _parse(content: Content, inspection: Inspection) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = False
    entities: dict[str, str] = {}

    def declared(name, _is_parameter, value, _base, system, public, _notation) -> None:
        if system is not None or public is not None:
            inspection.report(ENTITY, f"entity {name!r} stands for {system or public!r}"[:200], parser.CurrentByteIndex)
            return
        entities[name] = value or ""
        nested = sum(entity in (value or "") for entity in (f"&{other};" for other in entities))
        if (nested and len(entities) > NESTED_ENTITIES) or (value or "").count("&") > 8:
            inspection.report(BOMB, f"{len(entities)} entities that stand for each other", parser.CurrentByteIndex)
        else:
            inspection.report(ENTITIES, f"entity {name!r}"[:120], parser.CurrentByteIndex)

    def doctype(name, system, _public, _internal) -> None:
        if (
            system
            and re.match(r"(?:https?|ftp|file|jar|php|gopher|netdoc):|//|\\\\|/", system, re.IGNORECASE)
            and not _KNOWN_DTD.match(system)
        ):
            inspection.report(DOCTYPE, f"the definition of {name!r} is at {system!r}"[:200], parser.CurrentByteIndex)

    def started(name: str, attributes: dict[str, str]) -> None:
        space, _, word = name.rpartition(" ")
        if word == "include" and "XInclude" in space:
            inspection.report(INCLUDE, f"includes {attributes.get('href', '')!r}"[:200], parser.CurrentByteIndex)
        elif word == "Apply" and "." in attributes.get("function", ""):
            inspection.report(FUNCTION, f"the function {attributes['function']!r}"[:200], parser.CurrentByteIndex)

    def instruction(target: str, data: str) -> None:
        if target == "xml-stylesheet" and re.search(r"xsl|https?:|file:", data):
            inspection.report(STYLE, f"{data[:160]!r}", parser.CurrentByteIndex)
        elif target in ("php", "python"):
            inspection.report(RUNS, f"an instruction for {target}", parser.CurrentByteIndex)

    parser.EntityDeclHandler = declared
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = started
    parser.ProcessingInstructionHandler = instruction
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        for begin in range(0, content.size, 1 << 20):
            parser.Parse(content.read(begin, 1 << 20), begin + (1 << 20) >= content.size)
    except expat.ExpatError as error:
        if "amplification" in str(error):
            inspection.report(BOMB, "its entities expand without end")
        elif "undefined entity" not in str(error):
            inspection.report(BROKEN, f"it cannot be parsed: {error}"[:200])
    except (LookupError, ValueError) as error:  # an encoding that nobody knows
        inspection.report(BROKEN, f"it cannot be parsed: {error}"[:200])


FORMAT = Format("xml", recognise, inspect, (".xml", ".pmml"), is_text=True)
