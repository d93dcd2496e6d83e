"""AI artefacts: models, data and notebooks judged without ever running them.

How a file is judged::

    scan.py      paths -> files -> one Verdict each, by a child process (child.py) behind limits
    one_file.py  in that process: one content -> its Verdict
    identify.py  content -> every format whose loader could accept these bytes (never the name)
    formats/     one file per container or file format; each reports reasons and hands on inner content
    pickle/      the pickle machine (machine.py), what it saw, and how callables are judged
    judge.py     reasons -> verdict

**Adding a format** takes one file in ``formats/`` and one line in ``formats/__init__.py``:

1. begin with what the format is, where its definition comes from, and which loaders open it;
2. a table of rules, ``RULE = Rule(code, severity, technique, loader_effect)``, one per thing that can be wrong
   (:class:`~casemate.detect.artifacts.contract.Rule`; the codes of a format begin with its name);
3. ``recognise(content) -> bool``: could a loader of this format accept the bytes?  Cheap, by content alone, and
   generous: a file may be several formats at once and all of them look at it;
4. ``inspect(content, inspection)``: report with ``inspection.report(RULE, text, offset)``, hand on what lies inside
   with ``inspection.inner(...)``, and tell which bytes are understood with ``inspection.own(...)``.  Bytes that no
   format owned at the end make the file ``unscannable``, so that nothing hides between the parts;
5. ``FORMAT = Format(...)`` at the end of the file.

Whatever ``inspect`` raises on hostile bytes becomes an ``unscannable`` reason: a scan error is never a pass.  A format
never imports, loads or executes what an artefact names, never writes, and bounds every loop by the bytes it has.
Content arrives as :class:`~casemate.detect.artifacts.content.Content`: random access, whole or a part of a map of the
file; take sizes from there, never from a header alone.  Severities say what the reason alone makes of the file:
``malicious`` (a loader would run code or reach out), ``suspicious``, ``unscannable`` (not read or not understood
whole), ``note`` (told, does not count).
"""

from casemate.detect.artifacts.contract import Reason, Rule, Severity, Verdict, VerdictWord

__all__ = ["Reason", "Rule", "Severity", "Verdict", "VerdictWord"]
