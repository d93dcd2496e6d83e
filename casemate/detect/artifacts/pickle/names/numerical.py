"""numpy (1.x and 2.x), scipy's sparse matrices and joblib's array wrappers.

Functions of numpy are here as values that objects hold (``FunctionTransformer(numpy.log1p)``): those without access
to files and without a callable among their arguments.
"""

from __future__ import annotations

_SCALARS = (
    "bool bool_ bool8 int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc intp uintp uintc int_ uint longlong "
    "ulonglong short ushort byte ubyte float16 float32 float64 float128 longdouble half single double float_ "
    "complex64 complex128 complex256 csingle cdouble clongdouble str_ bytes_ unicode_ string_ void object_ "
    "datetime64 timedelta64 generic number integer signedinteger unsignedinteger inexact floating complexfloating "
    "flexible character"
)
_FUNCTIONS = (
    "abs absolute add all any amax amin angle any append arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax "
    "argmin argsort argwhere around array asarray asfarray atleast_1d atleast_2d average bincount bitwise_and "
    "bitwise_or bitwise_xor cbrt ceil clip column_stack concatenate conj conjugate copysign corrcoef cos cosh "
    "count_nonzero cov cross cumprod cumsum deg2rad degrees diag diff digitize divide dot empty equal exp exp2 "
    "expand_dims expm1 eye fabs fix flip float_power floor floor_divide fmax fmin fmod full gradient greater "
    "greater_equal heaviside histogram hstack hypot identity imag inner interp invert isclose isfinite isin isinf "
    "isnan kron less less_equal linspace log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or "
    "logical_xor logspace matmul max maximum mean median min minimum mod multiply nan_to_num nanmax nanmean nanmedian "
    "nanmin nanpercentile nanquantile nanstd nansum nanvar negative nonzero not_equal ones ones_like outer pad "
    "percentile positive power prod ptp quantile rad2deg radians ravel real reciprocal remainder repeat reshape rint "
    "roll round round_ searchsorted sign signbit sin sinh sort split sqrt square squeeze stack std subtract sum "
    "swapaxes take tan tanh tensordot tile trace transpose tri tril triu true_divide trunc unique unwrap var vstack "
    "where zeros zeros_like"
)
_DTYPES = (
    "BoolDType ByteDType UByteDType ShortDType UShortDType IntDType UIntDType LongDType ULongDType LongLongDType "
    "ULongLongDType Int8DType UInt8DType Int16DType UInt16DType Int32DType UInt32DType Int64DType UInt64DType "
    "Float16DType Float32DType Float64DType LongDoubleDType Complex64DType Complex128DType CLongDoubleDType "
    "ObjectDType StrDType BytesDType VoidDType DateTime64DType TimeDelta64DType StringDType"
)
_RANDOM = "RandomState Generator BitGenerator SeedSequence MT19937 PCG64 PCG64DXSM Philox SFC64"
_SPARSE = (
    "bsr_matrix coo_matrix csc_matrix csr_matrix dia_matrix dok_matrix lil_matrix bsr_array coo_array csc_array "
    "csr_array dia_array dok_array lil_array"
)

NAMES: dict[str, str] = {
    "networkx.classes.digraph": "DiGraph",
    "networkx.classes.graph": "Graph",
    "networkx.classes.multidigraph": "MultiDiGraph",
    "networkx.classes.multigraph": "MultiGraph",
    "numpy": f"ndarray dtype matrix recarray record memmap poly1d {_SCALARS} {_FUNCTIONS}",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.core.records": "recarray record",
    "numpy._core.records": "recarray record",
    "numpy.rec": "recarray record",
    "numpy.dtypes": _DTYPES,
    "numpy.core._dtype": "_DType",
    **dict.fromkeys(
        ("numpy.core._multiarray_umath", "numpy._core._multiarray_umath", "numpy.core.umath", "numpy._core.umath"),
        _FUNCTIONS,
    ),
    "numpy.core.memmap": "memmap",
    "numpy._core.memmap": "memmap",
    "numpy.core.fromnumeric": "mean sum max min amax amin std var prod median",
    "numpy._core.fromnumeric": "mean sum max min amax amin std var prod median",
    "numpy.matrixlib.defmatrix": "matrix",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct MaskedConstant mvoid",
    "numpy.random": _RANDOM,
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random._generator": "Generator",
    "numpy.random.mtrand": "RandomState _rand __RandomState_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence SeedlessSeedSequence",
    "numpy.polynomial.polynomial": "Polynomial",
    "numpy.polynomial.chebyshev": "Chebyshev",
    "numpy.polynomial.legendre": "Legendre",
    "numpy.polynomial.hermite": "Hermite",
    "numpy.polynomial.laguerre": "Laguerre",
    "scipy.sparse": _SPARSE,
    "scipy.sparse._base": "_spbase",
    **{
        f"scipy.sparse.{prefix}{kind}": f"{kind}_matrix {kind}_array _{kind}_base"
        for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
        for prefix in ("", "_")
    },
    "scipy.interpolate": "interp1d PchipInterpolator CubicSpline BSpline",
    "scipy.interpolate._interpolate": "interp1d PPoly",
    "scipy.interpolate.interpolate": "interp1d PPoly",
    "scipy.interpolate._bsplines": "BSpline",
    "scipy.interpolate._cubic": "CubicSpline PchipInterpolator",
    "scipy.spatial._ckdtree": "cKDTree",
    "scipy.spatial.ckdtree": "cKDTree",
    "scipy.spatial._kdtree": "KDTree",
    "scipy.spatial.transform._rotation": "Rotation",
    "scipy.special": "expit logit erf gamma gammaln softmax logsumexp",
    "scipy.special._ufuncs": "expit logit erf gamma gammaln",
    "scipy.optimize._optimize": "OptimizeResult",
    "scipy.optimize.optimize": "OptimizeResult",
    "joblib.numpy_pickle": "NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper",
    "joblib.memory": "Memory",
    "joblib._store_backends": "FileSystemStoreBackend",
    "joblib.logger": "Logger",
    "joblib.numpy_pickle_compat": "NDArrayWrapper ZNDArrayWrapper",
    "sklearn.externals.joblib.numpy_pickle": "NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray astype",
    "sklearn.externals.array_api_compat.numpy._aliases": "asarray astype",
    "ml_dtypes": "bfloat16 float8_e4m3fn float8_e5m2 int4 uint4",
}
