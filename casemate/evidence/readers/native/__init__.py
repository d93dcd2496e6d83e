"""The optional compiled kernel for lines of plain JSON: ``json_kernel.c``.

It is compiled when Casemate is installed on a machine with a C compiler (``hatch_build.py``), and used if it is
there; without it, and for every line that is not plain, :mod:`casemate.evidence.readers.json_rows` does the
same in Python, to the same tables.  :func:`available` says whether it is there.
"""

from __future__ import annotations

from casemate.evidence.readers.native.kernel import JsonKernel, KernelTexts, available

__all__ = ["JsonKernel", "KernelTexts", "available"]
