"""Commands and package indexes that build files, scripts and configurations name."""

from __future__ import annotations

import re

from casemate.detect.artifacts.contract import COMMAND_INTERPRETER, MALICIOUS_PACKAGE, Rule
from casemate.detect.artifacts.inspection import Inspection
from casemate.detect.artifacts.sources.shell import judge_command

BAD_COMMAND = Rule(
    "script.bad_command", "malicious", COMMAND_INTERPRETER, "runs the command when it is built or installed"
)
ODD_COMMAND = Rule(
    "script.odd_command", "suspicious", COMMAND_INTERPRETER, "runs the command when it is built or installed"
)
ODD_INDEX = Rule(
    "requirements.index", "suspicious", MALICIOUS_PACKAGE, "installs packages from an index that is not the usual one"
)

_USUAL_INDEX = re.compile(
    r"https://(?:pypi\.org|pypi\.python\.org|test\.pypi\.org|files\.pythonhosted\.org|download\.pytorch\.org|pypi\.nvidia\.com|pypi\.ngc\.nvidia\.com|"
    r"storage\.googleapis\.com/jax-releases|data\.pyg\.org|conda\.anaconda\.org|repo\.anaconda\.com|pypi\.tuna\.tsinghua\.edu\.cn|mirrors\.aliyun\.com|"
    r"pypi\.anaconda\.org|wheels\.vllm\.ai|abetlen\.github\.io|data\.dgl\.ai|huggingface\.github\.io|download\.openmmlab\.com|flashinfer\.ai|us-python\.pkg\.dev|"
    r"pkgs\.dev\.azure\.com|gitlab\.com|[\w.-]+\.jfrog\.io|mirror\.baidu\.com|pypi\.douban\.com|pypi\.mirrors\.ustc\.edu\.cn|paddle-wheel\.bj\.bcebos\.com|pypi\.fury\.io|[\w-]+\.github\.io|\$\{?\w+)"
)
_INDEX = re.compile(r"(?:--(?:extra-)?index-url|--find-links|-i|-f)[= ]+[\"']?(\S+?)[\"']?(?=\s|$)")

COMMAND_KEYS = frozenset({"run", "script", "command", "entrypoint", "before_script", "after_script", "cmd", "args", "postCreateCommand",  # noqa: E501
                          "prerun", "setup", "entry", "build_commands", "post_build", "setup_commands", "initialization_commands"})  # fmt: skip  # noqa: E501
"""Keys of build files and pipelines whose texts are commands."""


def judge_one(command: str, inspection: Inspection, where: str) -> None:
    """Report one command if there is anything against it."""
    judgement, why = judge_command(command)
    if judgement == "bad":
        inspection.report(BAD_COMMAND, f"{where}: {why}: {command[:200]!r}")
    elif judgement == "odd":
        inspection.report(ODD_COMMAND, f"{where}: {why}: {command[:200]!r}")
    if "pip" in command:
        judge_indexes(command, inspection)


def judge_indexes(text: str, inspection: Inspection) -> None:
    """Report indexes that are not the usual ones."""
    for match in _INDEX.finditer(text):
        address = match.group(1)
        if address.startswith(("http://", "https://")) and not _USUAL_INDEX.match(address):
            inspection.report(ODD_INDEX, f"{match.group()[:160]!r}")
