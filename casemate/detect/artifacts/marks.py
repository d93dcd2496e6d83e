"""Text that may be an artefact, told by the beginning of its content: cheap, and generous on purpose.

Most text in evidence is logs.  What carries one of these marks is read by the scanner, which knows better; what
carries none is not.
"""

from __future__ import annotations

import re

LOOKED_AT = 64 * 1024
"""Bytes that marks are looked for in."""

_NOTEBOOK = re.compile(rb'"cell_type"\s*:|"nbformat"\s*:')
_JSON = re.compile(
    # keys by which loaders of models decide what to import, build or render
    rb'"(?:auto_map|custom_pipelines|architectures|model_type|peft_type|base_model_name_or_path|_class_name|chat_template|'
    rb"tokenizer_class|processor_class|feature_extractor_type|image_processor_type|transformers_version|_target_|"
    rb'py/(?:object|reduce|type|function)|__reduce__|keras_version|_diffusers_version|registered_name)"\s*:'
)
_YAML = re.compile(rb"!!?python/|tag:yaml\.org,2002:python|^\s*_target_\s*:", re.MULTILINE)
_CONDA = re.compile(rb"^channels\s*:", re.MULTILINE), re.compile(rb"^dependencies\s*:", re.MULTILINE)
_PMML = re.compile(rb"<PMML[\s>]")
_DOCKER = re.compile(rb"\A(?:\s*#[^\n]*\n|\s*\n|\s*ARG\s[^\n]*\n)*\s*FROM\s+\S+", re.IGNORECASE)
_DOCKER_LINES = re.compile(rb"^\s*(?:RUN|CMD|ENTRYPOINT|COPY|ADD|WORKDIR)\s", re.MULTILINE)
_PYTHON = re.compile(
    rb"^(?:import \w|from [\w.]+ import |(?:async )?def |class \w+|@\w+|if __name__ ==|(?:exec|eval|__import__)\()",
    re.MULTILINE,
)
_PYTHON_START = re.compile(rb"#!.*\bpython")
_PICKLE = re.compile(
    rb"\A(?:[(\]}]*[ci][A-Za-z_][\w.]{0,80}\n[A-Za-z_]|[(\]}]+[lt]?p\d+\n|[(\]}]*(?:\x80|[VSIFLg][^\n]{0,80}\n[^\n]{0,8}[p(c.]))"
)
_MAIL = re.compile(rb"^(?:MIME-Version|Received|Return-Path|Message-ID|Content-Type)\s*:", re.IGNORECASE | re.MULTILINE)
_MAIL_START = re.compile(rb"\A(?:From [^\n]+\n)?[A-Za-z][A-Za-z0-9-]{1,60}:[ \t]")


def kinds_of(head: bytes) -> frozenset[str]:
    """Which artefacts the beginning of a text could be that of, by the names of :data:`FORMATS_OF`; none for most.

    Args:
        head: at most :data:`LOOKED_AT` bytes of the content.
    """
    head = head[:LOOKED_AT]
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    found = set()
    if start[:1] in (b"{", b"["):
        if _NOTEBOOK.search(head):
            found.add("notebook")
        if _JSON.search(head):
            found.add("json")
        return frozenset(found)
    if _PICKLE.match(head):
        found.add("pickle")
    if _YAML.search(head) or all(mark.search(head) for mark in _CONDA):
        found.add("yaml")
    if start[:1] == b"<" and _PMML.search(head):
        found.add("xml")
    if _DOCKER.match(head) and _DOCKER_LINES.search(head):
        found.add("text")
    if _PYTHON_START.match(head) or _PYTHON.search(head):
        found.add("python")
    if _MAIL_START.match(head) and len(_MAIL.findall(head[:16384])) >= 2:
        found.add("mail")
    return frozenset(found)
