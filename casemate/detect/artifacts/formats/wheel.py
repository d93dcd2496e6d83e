"""Wheels: what an installer copies, held against what the wheel says it holds.

Definition: the binary distribution format (PEP 427, packaging.python.org).  The members are judged by the zip format
and their own; this file judges the whole: ``RECORD``, files at the top that Python runs by itself, scripts.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile

from casemate.detect.artifacts.content import Content
from casemate.detect.artifacts.contract import CORRUPT_MODEL, MALICIOUS_PACKAGE, Rule
from casemate.detect.artifacts.formats.base import Format
from casemate.detect.artifacts.formats.native_code import kind_of
from casemate.detect.artifacts.inspection import Inspection, TooMuchError
from casemate.detect.artifacts.window import Window

MOST_MEMBERS = 100_000
MOST_MEMBER = 64 << 20

NOT_LISTED = Rule("wheel.not_recorded", "suspicious", MALICIOUS_PACKAGE, "installs a file that RECORD does not name")
OTHER = Rule("wheel.other_content", "suspicious", MALICIOUS_PACKAGE, "installs other bytes than RECORD promises")
MISSING = Rule("wheel.missing", "suspicious", MALICIOUS_PACKAGE, "does not find a file that RECORD promises")
NO_RECORD = Rule("wheel.no_record", "suspicious", MALICIOUS_PACKAGE, "cannot check what it installs")
NATIVE = Rule("wheel.native", "note", None, "installs machine code, which is not judged here")
BROKEN = Rule("wheel.broken", "unscannable", CORRUPT_MODEL, "raises an error, or installs what it can unpack")
BY_ITSELF = Rule(
    "wheel.runs_by_itself", "suspicious", MALICIOUS_PACKAGE, "Python runs the file at every start once it is installed"
)
_OWN = (".dist-info/RECORD", ".dist-info/RECORD.jws", ".dist-info/RECORD.p7s")


def recognise(content: Content) -> bool:
    """Whether it is a zip archive with a wheel's description."""
    return content.head(4) == b"PK\x03\x04" and content.find(b".dist-info/WHEEL") >= 0


def inspect(content: Content, inspection: Inspection) -> None:
    """Hold the members against RECORD; what the directory says wrongly, the zip format tells."""
    try:
        _inspect(content, inspection)
    except (TooMuchError, MemoryError):
        raise
    except Exception as error:  # an installer's zip reader raises anything on what is made to break it
        inspection.report(BROKEN, f"it cannot be unpacked as installers do: {error}"[:200])


def _inspect(content: Content, inspection: Inspection) -> None:
    with zipfile.ZipFile(Window(content)) as archive:  # type: ignore[arg-type]
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        if len(members) > MOST_MEMBERS:
            return  # the zip format tells
        record = next((name for name in members if name.endswith(".dist-info/RECORD") and name.count("/") == 1), None)
        for name in members:
            if name in ("sitecustomize.py", "usercustomize.py"):
                inspection.report(BY_ITSELF, f"{name!r} at the top", member=name)
        if record is None or members[record].file_size > MOST_MEMBER:
            inspection.report(NO_RECORD, "there is no RECORD")
            return
        native: list[str] = []
        listed: dict[str, str] = {}
        for row in csv.reader(io.StringIO(archive.read(record).decode("utf-8", "replace"))):
            if row:
                listed[row[0]] = row[1] if len(row) > 1 else ""
        for name, info in members.items():
            if name.endswith(_OWN):
                continue
            if name not in listed:
                inspection.report(NOT_LISTED, f"{name!r} is not in RECORD"[:200], member=name)
            elif listed[name] and info.file_size <= MOST_MEMBER and _compare(archive, name, listed[name], inspection):
                native.append(name)
        for name in listed.keys() - members.keys():
            inspection.report(MISSING, f"{name!r} is in RECORD alone"[:200])
        if native:
            told = ", ".join(repr(name) for name in native[:5])
            inspection.report(NATIVE, f"machine code in {len(native)} files that are as RECORD promises: {told}"[:400])


def _compare(archive: zipfile.ZipFile, name: str, promise: str, inspection: Inspection) -> bool:
    """Whether it is machine code that is as promised."""
    kind, _, digest = promise.partition("=")
    if kind not in ("sha256", "sha384", "sha512"):
        inspection.report(OTHER, f"{name!r} has a digest of the kind {kind!r}"[:200], member=name)
        return False
    data = archive.read(name)
    inspection.budget.unpack(len(data))
    found = base64.urlsafe_b64encode(hashlib.new(kind, data).digest()).rstrip(b"=").decode()
    if found != digest.rstrip("="):
        inspection.report(OTHER, f"{name!r} is not what RECORD promises"[:200], member=name)
        return False
    return kind_of(Content.of(name, data)) is not None


FORMAT = Format("wheel", recognise, inspect, (".whl",))
