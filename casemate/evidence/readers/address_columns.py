"""Which texts of a column are no addresses, checked on its distinct values.

Evidence holds addresses that are none (``035.249.253.232``: RFC 6943, 3.1.1 shows how two readers
take two different addresses from it).  Their text stays as recorded and the record is flagged.
"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (functions of pyarrow.compute are made at run time)
import ipaddress
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from casemate.evidence.readers.base import Rows

FLAG = "address_invalid"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"


@lru_cache(maxsize=16_384)
def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address (a zone such as ``%eth0`` is allowed)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def invalid_addresses(texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Which of `texts` are neither an address nor empty; nearly all are IPv4, told by one expression."""
    odd = pc.invert(pc.match_substring_regex(texts, _IPV4)).fill_null(False).to_numpy(zero_copy_only=False).copy()
    for index in np.flatnonzero(odd).tolist():
        text = texts[index].as_py()
        odd[index] = bool(text) and not is_address(text)
    return odd


def flag_addresses(rows: Rows, columns: Collection[str]) -> Rows:
    """`rows` with ``address_invalid`` on the records that hold no address in one of `columns`."""
    batch = rows.batch
    wrong = np.zeros(batch.num_rows, np.bool_)
    for name in columns:
        if name not in batch.schema.names:
            continue
        column = batch.column(name)
        coded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
        invalid = invalid_addresses(coded.dictionary)
        if invalid.any():
            wrong |= np.append(invalid, False)[coded.indices.fill_null(len(invalid)).to_numpy(zero_copy_only=False)]
    if not wrong.any():
        return rows
    place = batch.schema.get_field_index("flags")
    words = [
        ";".join(sorted({*(text.split(";") if text else []), FLAG})) if bad else text
        for text, bad in zip(batch.column(place).to_pylist(), wrong.tolist(), strict=True)
    ]
    return replace(rows, batch=batch.set_column(place, "flags", pa.array(words, pa.string())))
