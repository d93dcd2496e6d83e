"""pandas (0.2x to 3.x): frames, indexes, arrays and dtypes, by the modules that each version wrote."""

from __future__ import annotations

_INDEXES = (
    "Index RangeIndex MultiIndex CategoricalIndex DatetimeIndex TimedeltaIndex PeriodIndex IntervalIndex Int64Index "
    "UInt64Index Float64Index NumericIndex"
)
_ARRAYS = (
    "Categorical DatetimeArray TimedeltaArray PeriodArray IntervalArray SparseArray IntegerArray FloatingArray "
    "BooleanArray StringArray ArrowStringArray ArrowExtensionArray NumpyExtensionArray PandasArray"
)
_DTYPES = (
    "CategoricalDtype DatetimeTZDtype PeriodDtype IntervalDtype SparseDtype StringDtype BooleanDtype Int8Dtype "
    "Int16Dtype Int32Dtype Int64Dtype UInt8Dtype UInt16Dtype UInt32Dtype UInt64Dtype Float32Dtype Float64Dtype "
    "ArrowDtype NumpyEADtype PandasDtype"
)
_OFFSETS = (
    "BusinessDay BusinessHour BusinessMonthBegin BusinessMonthEnd BYearBegin BYearEnd BQuarterBegin BQuarterEnd "
    "CustomBusinessDay CustomBusinessHour CustomBusinessMonthBegin CustomBusinessMonthEnd DateOffset Day Easter FY5253 "
    "FY5253Quarter Hour LastWeekOfMonth Micro Milli Minute MonthBegin MonthEnd Nano QuarterBegin QuarterEnd Second "
    "SemiMonthBegin SemiMonthEnd Tick Week WeekOfMonth YearBegin YearEnd"
)

NAMES: dict[str, str] = {
    "pandas": (
        f"DataFrame Series Timestamp Timedelta Period Interval NaT NA {_INDEXES} {_ARRAYS} {_DTYPES} DateOffset Flags"
    ),
    "pandas.arrays": _ARRAYS,
    "pandas.api.extensions": "ExtensionArray ExtensionDtype",
    "pandas.core.frame": "DataFrame",
    "pandas.core.series": "Series",
    "pandas.core.flags": "Flags",
    "pandas.core.indexes.base": "_new_Index Index",
    "pandas.core.index": _INDEXES + " _new_Index FrozenList",
    "pandas.indexes.base": "_new_Index Index",
    "pandas.indexes.range": "RangeIndex",
    "pandas.indexes.numeric": "Int64Index Float64Index",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.indexes.multi": "MultiIndex",
    "pandas.core.indexes.category": "CategoricalIndex",
    "pandas.core.indexes.datetimes": "DatetimeIndex _new_DatetimeIndex",
    "pandas.core.indexes.datetimelike": "DatetimeIndexOpsMixin",
    "pandas.core.indexes.timedeltas": "TimedeltaIndex",
    "pandas.core.indexes.period": "PeriodIndex _new_PeriodIndex",
    "pandas.core.indexes.interval": "IntervalIndex _new_IntervalIndex",
    "pandas.core.indexes.numeric": "Int64Index UInt64Index Float64Index NumericIndex",
    "pandas.core.indexes.frozen": "FrozenList FrozenNDArray",
    "pandas.tseries.index": "DatetimeIndex _new_DatetimeIndex",
    "pandas.tseries.offsets": _OFFSETS,
    "pandas._libs.tslibs.offsets": _OFFSETS,
    "pandas.core.internals": "BlockManager SingleBlockManager make_block",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas.core.internals.blocks": (
        "new_block make_block Block ObjectBlock NumericBlock FloatBlock IntBlock BoolBlock DatetimeBlock "
        "DatetimeTZBlock CategoricalBlock ExtensionBlock"
    ),
    "pandas._libs.internals": "_unpickle_block BlockPlacement BlockManager Block __pyx_unpickle_NDArrayBacked",
    "pandas._libs.arrays": "NDArrayBacked __pyx_unpickle_NDArrayBacked",
    "pandas._libs.interval": "Interval IntervalMixin __pyx_unpickle_IntervalMixin",
    "pandas._libs.sparse": "BlockIndex IntIndex",
    "pandas._libs.missing": "NAType C_NAType",
    "pandas._libs.tslibs.nattype": "NaTType _nat_unpickle __nat_unpickle",
    "pandas._libs.tslibs.timestamps": "Timestamp _Timestamp _unpickle_timestamp",
    "pandas._libs.tslibs.timedeltas": "Timedelta _Timedelta _timedelta_unpickle",
    "pandas._libs.tslibs.period": "Period _Period",
    "pandas._libs.tslibs.dtypes": "PeriodDtypeBase NpyDatetimeUnit Resolution",
    "pandas._libs.tslib": "Timestamp __nat_unpickle",
    "pandas.tslib": "Timestamp Timedelta NaTType __nat_unpickle",
    "pandas.core.arrays": _ARRAYS,
    "pandas.core.arrays.categorical": "Categorical",
    "pandas.core.arrays.datetimes": "DatetimeArray",
    "pandas.core.arrays.timedeltas": "TimedeltaArray",
    "pandas.core.arrays.period": "PeriodArray",
    "pandas.core.arrays.interval": "IntervalArray",
    "pandas.core.arrays.sparse.array": "SparseArray",
    "pandas.core.arrays.sparse.dtype": "SparseDtype",
    "pandas.core.arrays.integer": (
        "IntegerArray Int8Dtype Int16Dtype Int32Dtype Int64Dtype UInt8Dtype UInt16Dtype UInt32Dtype UInt64Dtype"
    ),
    "pandas.core.arrays.floating": "FloatingArray Float32Dtype Float64Dtype",
    "pandas.core.arrays.boolean": "BooleanArray BooleanDtype",
    "pandas.core.arrays.string_": "StringArray StringDtype",
    "pandas.core.arrays.string_arrow": "ArrowStringArray ArrowStringArrayNumpySemantics",
    "pandas.core.arrays.numpy_": "NumpyExtensionArray PandasArray",
    "pandas.core.dtypes.dtypes": _DTYPES,
    "pandas.core.categorical": "Categorical",
}
