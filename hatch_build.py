"""Compiles the optional kernel for JSON lines when Casemate is built or installed.

Without a C compiler, or if compiling fails, Casemate is installed without it and reads the same lines
in Python.  The library uses nothing of Python, so one built for a machine fits every Python version on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("casemate/evidence/readers/native/json_kernel.c")
LIBRARY = SOURCE.with_suffix(".so")
SHARED = "*__mypyc*.so"
"""What mypyc puts beside the package for the modules it has compiled."""
FLAGS = ("-O3", "-std=c11", "-shared", "-fPIC")
SECONDS = 120


class Kernel(BuildHookInterface):
    """Hatchling calls :meth:`initialize` before it packs a wheel or makes an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say that the wheel is for this machine if that worked."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None or not compiled(compiler, root / SOURCE, root / LIBRARY):
            self.app.display_warning("no C compiler: the optional kernel for JSON lines is not built")
            return
        build_data["artifacts"].append(f"/{LIBRARY}")
        build_data["tag"] = f"py3-none-{platform()}"
        shared = sorted(root.glob(SHARED))
        if shared:  # scripts/compiled has compiled modules in place; they fit this version of Python alone
            build_data["artifacts"].append("/casemate/**/*.so")
            build_data["force_include"].update({str(path): path.name for path in shared})
            version = f"cp{sys.version_info.major}{sys.version_info.minor}"
            build_data["tag"] = f"{version}-{version}-{platform()}"


def compiled(compiler: str, source: Path, library: Path) -> bool:
    """Whether the library was compiled; an older one is replaced as a whole."""
    made = library.with_name(f"{library.name}.{os.getpid()}")
    try:
        subprocess.run([compiler, *FLAGS, "-o", str(made), str(source)], check=True, timeout=SECONDS)
        made.replace(library)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"json_kernel: {error}", file=sys.stderr)
        made.unlink(missing_ok=True)
        return False
    return True


def platform() -> str:
    """The platform tag of wheels for this machine."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
