"""pyarrow (10 to 22): arrays, tables and types, as pandas' frames hold them since text is kept in Arrow's form.

All of them build values from buffers and types; none imports, calls or opens anything that its arguments name.
"""

from __future__ import annotations

NAMES: dict[str, str] = {
    "pyarrow": "NA",
    "pyarrow.lib": (
        "_reconstruct_record_batch _reconstruct_table _restore_array binary chunked_array decimal128 decimal256 "
        "dictionary field large_list large_list_view list_ list_view map_ py_buffer run_end_encoded scalar schema "
        "struct timestamp type_for_alias union"
    ),
}
