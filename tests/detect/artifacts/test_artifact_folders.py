"""A folder as a whole: a configuration is as bad as the module it names."""

from __future__ import annotations

import json
from pathlib import Path

from casemate.detect.artifacts.scan import scan

CONFIG = json.dumps({"model_type": "x", "auto_map": {"AutoModel": "modeling_x.XModel"}})


def verdicts(folder: Path) -> dict[str, str]:
    return {Path(found.path).name: found.verdict for found in scan([folder])}


def test_a_configuration_is_as_bad_as_its_module(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    (tmp_path / "modeling_x.py").write_text("import os\nos.system('touch /tmp/canary')\n")
    (tmp_path / "README.md").write_text("# x\n")
    assert verdicts(tmp_path) == {"config.json": "malicious", "modeling_x.py": "malicious", "README.md": "safe"}


def test_a_harmless_module_leaves_its_configuration_suspicious(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    (tmp_path / "modeling_x.py").write_text("import torch\n\n\nclass XModel(torch.nn.Module):\n    pass\n")
    assert verdicts(tmp_path) == {"config.json": "suspicious", "modeling_x.py": "safe"}


def test_verdicts_stay_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(CONFIG)
        (tmp_path / name / "z.txt").write_text("words\n")
    found = [str(Path(one.path).relative_to(tmp_path)) for one in scan([tmp_path])]
    assert found == ["a/config.json", "a/z.txt", "b/config.json", "b/z.txt"]
