"""Encoded text to decoded text: pure functions that run nothing of what they read.

:func:`decode` gives the variants of one text; :mod:`.forms` lists what is decoded in which kind of text,
:mod:`.model` every step there is, :mod:`.script_blocks` puts script blocks together.
"""

from casemate.decode.forms import Form, may_hold
from casemate.decode.model import STEPS, Decoding, Variant
from casemate.decode.recursive import decode

__all__ = ["STEPS", "Decoding", "Form", "Variant", "decode", "may_hold"]
