"""The standard library's data types (CPython 3.11 to 3.14), by the names their own ``__reduce__`` writes."""

from __future__ import annotations

EXCEPTIONS = (
    "ArithmeticError AssertionError AttributeError BaseException BlockingIOError BrokenPipeError BufferError "
    "ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError EOFError "
    "Exception FileExistsError FileNotFoundError FloatingPointError GeneratorExit ImportError IndexError "
    "InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError "
    "NameError NotADirectoryError NotImplementedError OSError OverflowError PermissionError ProcessLookupError "
    "RecursionError ReferenceError RuntimeError StopAsyncIteration StopIteration SyntaxError SystemError TimeoutError "
    "TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError ValueError ZeroDivisionError "
    "Warning DeprecationWarning FutureWarning PendingDeprecationWarning ResourceWarning RuntimeWarning UserWarning"
)

NAMES: dict[str, str] = {
    "builtins": (
        "set frozenset list tuple dict bytearray bytes int float complex str bool slice range object enumerate "
        f"reversed Ellipsis NotImplemented abs round len sum min max any all sorted {EXCEPTIONS}"
    ),
    "collections": "OrderedDict defaultdict Counter deque ChainMap UserDict UserList UserString",
    "copyreg": "_reconstructor __newobj__ __newobj_ex__",
    "datetime": "date datetime time timedelta timezone",
    "decimal": (
        "Decimal Context DivisionByZero InvalidOperation Overflow Underflow Inexact Rounded Subnormal Clamped "
        "FloatOperation"
    ),
    "_decimal": "Decimal",
    "_pydecimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID SafeUUID",
    "zoneinfo": "ZoneInfo",
    "ipaddress": (
        "IPv4Address IPv6Address IPv4Network IPv6Network IPv4Interface IPv6Interface _IPv4Constants _IPv6Constants"
    ),
    "pathlib": "Path PurePath PosixPath WindowsPath PurePosixPath PureWindowsPath",
    "pathlib._local": "Path PurePath PosixPath WindowsPath PurePosixPath PureWindowsPath",
    "types": "GenericAlias UnionType SimpleNamespace NoneType EllipsisType NotImplementedType",
    "argparse": "Namespace",
    "array": "array _array_reconstructor",
    "random": "Random",
    "time": "struct_time",
    "string": "Template",
    "re": "_compile RegexFlag Pattern",
    "urllib.parse": "ParseResult SplitResult ParseResultBytes SplitResultBytes DefragResult",
    "logging": "getLogger",
    "operator": "itemgetter add sub mul truediv floordiv mod neg pos eq ne lt le gt ge and_ or_ xor not_ getitem",
    "_operator": "itemgetter add sub mul truediv floordiv mod neg pos eq ne lt le gt ge and_ or_ xor not_ getitem",
    "math": "sqrt exp log log2 log10 log1p sin cos tan tanh floor ceil fabs",
    "http": "HTTPStatus HTTPMethod",
    "email.message": "Message EmailMessage",
    "statistics": "mean median stdev variance NormalDist",
    "inspect": "Signature Parameter _ParameterKind _empty",
    "calendar": "Month Day",
    "itertools": (
        "count cycle repeat chain islice product combinations combinations_with_replacement permutations compress "
        "zip_longest pairwise batched"
    ),
    "dataclasses": "_MISSING_TYPE _HAS_DEFAULT_FACTORY_CLASS",
    "typing": (
        "Any Union Optional List Dict Tuple Set FrozenSet Callable Type Iterable Iterator Sequence Mapping Literal "
        "ClassVar Generic DefaultDict Deque Counter NoReturn Hashable Sized Number TypeVar _GenericAlias"
    ),
    "dateutil.tz.tz": "tzutc tzlocal tzoffset tzrange",
    "pytz": "_UTC _p",
    "pytz.tzinfo": "_tzinfo",
}
