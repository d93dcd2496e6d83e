"""What is known to do harm, by exact name, by module, and by words that mean the same everywhere.

Collected from CPython's and the frameworks' own sources and from public advisories about pickle scanners.
"""

from __future__ import annotations

COMMANDS = "runs commands"
CODE = "runs Python code"
NATIVE = "loads native code"
NETWORK = "opens network connections"
FILES = "reads or writes files"
UNPICKLES = "unpickles other data"
IMPORTS = "imports any module"
ATTRIBUTES = "reaches any attribute"
PROGRAM = "changes the running program"
INSTALLS = "installs software"
CALLS = "calls what it is given"

MODULES: dict[str, str] = {
    COMMANDS: (
        "os posix nt subprocess _posixsubprocess _winapi pty popen2 popen commands pexpect ptyprocess plumbum sh "
        "invoke fabric fabric2 paramiko delegator envoy psutil _aix_support _osx_support _pyrepl webbrowser "
        "antigravity multiprocessing concurrent billiard loky mailcap pipes asyncio uvloop "
        "torch.utils.collect_env torch.utils.hipify torch.utils.benchmark torch.multiprocessing "
        "torch.distributed.elastic torch.distributed.run torch.distributed.launch numpy.distutils _distutils_hack "
        "cffi distutils setuptools test.support test.libregrtest unittest pytest _pytest docker kubernetes git "
        "PIL.ImageShow shellingham mlflow.projects tensorflow.python.platform tensorflow.tools"
    ),
    CODE: (
        "code codeop pdb bdb cmd profile cProfile _lsprof trace timeit doctest pydoc runpy idlelib lib2to3 "
        "IPython ipykernel jupyter_client jupyter_core nbconvert nbformat nbclient papermill marshal _testcapi "
        "py_compile compileall symtable sched rlcompleter tkinter _tkinter turtle turtledemo numexpr "
        "sympy.core.sympify sympy.parsing sympy.utilities ray.cloudpickle torch.fx.graph_module "
        "torch.fx.experimental torch.fx.interpreter torch.fx.graph torch.fx.passes asteval RestrictedPython "
        "jinja2 mako chameleon cloudpickle dill jsonpickle numba llvmlite torch.utils.bottleneck "
        "torch.utils.cpp_extension torch._dynamo torch._inductor torch._functorch torch.jit torch.package "
        "torch._C._jit torch.testing torch.onnx torch._export torch.export torch._numpy "
        "torch.utils._config_module torch.utils.jit torch.utils._sympy torch.utils._triton torch._ops "
        "torch.library torch._library torch._custom_op torch._lobpcg triton tensorflow.python.autograph "
        "numpy.testing numpy.f2py numpy.ma.testutils numpy.lib.utils numpy.ctypeslib pandas.core.computation "
        "pandas.core.eval pandas.io scipy.weave scipy._lib._uarray sklearn.utils._testing joblib.parallel "
        "joblib.externals joblib.memory joblib.pool joblib.executor hydra pyfiglet flask werkzeug django "
        "aiohttp_jinja2 gradio streamlit fire execnet rpyc Pyro4 Pyro5 celery lightning.pytorch.cli "
        "transformers.dynamic_module_utils transformers.utils.import_utils transformers.tools _pydevd_bundle "
        "debugpy pydevd readline pickletools xml.sax xmlrpc cgi cgitb wsgiref"
    ),
    NATIVE: (
        "ctypes _ctypes cffi.api _cffi_backend torch._C._dynamo torch.classes torch.ops torch.hub comtypes "
        "win32com win32api win32process msvcrt _winreg winreg winsound msilib pywin32 jpype py4j pythonnet clr "
        "ctypes.util"
    ),
    NETWORK: (
        "socket _socket socketserver SocketServer ssl _ssl http httplib http.client http.server BaseHTTPServer "
        "SimpleHTTPServer urllib urllib2 urllib3 urllib.request urllib.response urllib.robotparser urllib.error "
        "ftplib smtplib smtpd telnetlib nntplib poplib imaplib asyncore asynchat selectors select requests httpx "
        "aiohttp httplib2 pycurl wget gdown twisted tornado zmq websocket websockets boto boto3 botocore s3fs "
        "gcsfs adlfs fsspec smart_open huggingface_hub datasets.load datasets.builder torchvision.datasets "
        "torch.distributed.rpc torch.distributed.launcher torch.distributed.nn.jit torch.distributed.autograd "
        "torchaudio.utils torchtext.utils nltk.downloader redis pymongo psycopg2 MySQLdb mysql elasticsearch "
        "kafka pika paho scapy dns ldap3 impacket telegram slack_sdk discord selenium playwright mechanize scrapy "
        "sklearn.datasets keras.datasets pooch"
    ),
    FILES: (
        "shutil tempfile fileinput glob linecache mmap zipfile tarfile gzip bz2 lzma zipapp shelve dbm gdbm "
        "sqlite3 _sqlite3 io _io _pyio dumbdbm whichdb fnmatch filecmp logging.handlers logging.config "
        "logging.FileHandler mailbox nturl2path numpy.lib.npyio numpy.lib._npyio_impl numpy.lib.format "
        "numpy.lib._datasource numpy.DataSource scipy.io fsspec.implementations safetensors.torch "
        "keras.utils.file_utils keras.src.utils.file_utils nltk.data tensorflow.io tensorflow.raw_ops "
        "tensorflow.python.lib.io tensorflow.python.ops.io_ops tensorflow.python.ops.gen_io_ops "
        "torch.utils.data.datapipes torch.utils.tensorboard torch.utils.model_dump torchvision.io imageio "
        "skimage.io pydub moviepy"
    ),
    UNPICKLES: (
        "pickle _pickle cPickle pickle5 zodbpickle hickle joblib.numpy_pickle joblib.numpy_pickle_utils "
        "torch.serialization torch.distributed.checkpoint torch.utils.serialization pandas.compat.pickle_compat "
        "pandas.io.pickle pickleshare yaml ruamel ruamel_yaml keras.src.legacy.saving fickling skops.io "
        "numpy.compat.py3k numpy.lib._utils_impl torch.utils.show_pickle"
    ),
    IMPORTS: (
        "importlib _frozen_importlib _frozen_importlib_external _imp imp pkgutil zipimport modulefinder "
        "pkg_resources site sitecustomize importlib_metadata importlib_resources zipp stevedore pluggy pyclbr"
    ),
    PROGRAM: (
        "sys gc atexit signal faulthandler threading _thread thread dummy_threading _dummy_thread resource fcntl "
        "syslog tracemalloc inspect weakref _weakref warnings _ast sysconfig _sysconfigdata curses _curses gevent "
        "greenlet eventlet"
    ),
    INSTALLS: ("pip _pip ensurepip venv virtualenv conda easy_install wheel poetry pipenv uv"),
}
"""Everything in these modules and below them, except what is allowed by exact name."""

NAMES: dict[str, str] = {
    CODE: (
        "builtins.eval builtins.exec builtins.execfile builtins.compile builtins.breakpoint builtins.input "
        "builtins.help builtins.__build_class__ types.FunctionType types.CodeType types.LambdaType "
        "types.coroutine dataclasses.make_dataclass collections.namedtuple typing.NamedTuple "
        "typing.get_type_hints typing._eval_type typing.ForwardRef typing.evaluate_forward_ref "
        "annotationlib.ForwardRef annotationlib.get_annotations enum._make_class_unpicklable "
        "torch.fx.graph_module.reduce_graph_module torch.compile pandas.eval "
        "torch.fx.graph_module.reduce_package_graph_module torch.fx.graph_module.reduce_deploy_graph_module "
        "pandas.core.frame.DataFrame.eval pandas.core.frame.DataFrame.query numpy.vectorize numpy.frompyfunc "
        "numpy.apply_along_axis numpy.apply_over_axes numpy.fromfunction numpy.piecewise numpy.source numpy.info "
        "numpy.lookfor numpy.test builtins.type.__call__ string.Formatter attr.make_class attrs.make_class "
        "pydantic.create_model pydantic.main.create_model transformers.AutoModel transformers.AutoTokenizer "
        "transformers.AutoConfig transformers.pipeline keras.layers.Lambda "
        "keras.src.layers.core.lambda_layer.Lambda"
    ),
    FILES: (
        "builtins.open builtins.file codecs.open _codecs.open tokenize.open os.open numpy.load numpy.save "
        "numpy.savez numpy.savez_compressed numpy.fromfile numpy.tofile numpy.loadtxt numpy.savetxt "
        "numpy.genfromtxt numpy.fromregex numpy.recfromcsv numpy.recfromtxt numpy.DataSource logging.FileHandler "
        "logging.basicConfig logging.handlers.RotatingFileHandler torch.save torch.from_file "
        "torch.UntypedStorage.from_file pandas.read_csv pandas.read_json pandas.read_excel pandas.read_html "
        "pandas.read_parquet pandas.read_sql pandas.read_hdf pandas.read_table pandas.read_feather "
        "pandas.read_orc pandas.read_fwf pandas.read_xml pandas.ExcelWriter pandas.HDFStore pandas.ExcelFile "
        "PIL.Image.open PIL.Image.init joblib.dump xml.etree.ElementTree.parse"
    ),
    UNPICKLES: (
        "torch.load torch.jit.load torch.package.PackageImporter pandas.read_pickle joblib.load "
        "joblib.numpy_pickle.load numpy.core.multiarray.fromfile torch.hub.load numpy.lib.npyio.load"
    ),
    IMPORTS: (
        "builtins.__import__ builtins.__loader__ builtins.__spec__ transformers.utils.import_utils._LazyModule "
        "keras.utils.get_file sklearn.utils.import_or_raise logging.config._resolve xml.sax.make_parser "
        "encodings.search_function unittest.mock._importer django.utils.module_loading.import_string "
        "werkzeug.utils.import_string hydra.utils.instantiate hydra.utils.get_method hydra.utils.call"
    ),
    ATTRIBUTES: (
        "builtins.globals builtins.locals builtins.vars builtins.dir builtins.super builtins.__dict__ "
        "builtins.classmethod builtins.memoryview.__class__ types.MethodType types.DynamicClassAttribute "
        "operator.call _operator.call torch._utils.__builtins__ inspect.getattr_static"
    ),
    PROGRAM: (
        "builtins.setattr builtins.delattr builtins.exit builtins.quit builtins.copyright builtins.credits "
        "builtins.license copyreg.add_extension copyreg.remove_extension copyreg.clear_extension_cache "
        "copyreg.pickle copyreg.constructor copyreg._extension_registry copyreg._inverted_registry "
        "copyreg._extension_cache copyreg.dispatch_table codecs.register _codecs.register codecs.register_error "
        "operator.setitem operator.delitem _operator.setitem operator.iadd operator.__setitem__ "
        "copy_reg.add_extension torch.set_default_tensor_type functools.singledispatch functools.update_wrapper "
        "torch.overrides.enable_reentrant_dispatch"
    ),
    CALLS: (
        "functools.partialmethod functools.cached_property functools.singledispatchmethod functools.lru_cache "
        "functools.cache itertools.starmap itertools.takewhile itertools.dropwhile itertools.filterfalse "
        "itertools.groupby itertools.accumulate copy.copy copy.deepcopy copy._reconstruct "
        "numpy.core._internal._ctypes weakref.finalize atexit.register torch.nn.utils.stateless.functional_call "
        "torch.func.functional_call torch.vmap torch.func.vmap"
    ),
    NETWORK: (
        "torch.hub.download_url_to_file torch.hub.load_state_dict_from_url torch.utils.model_zoo.load_url "
        "nltk.download tensorflow.keras.utils.get_file datasets.load_dataset"
    ),
    COMMANDS: (
        "platform.popen platform._syscmd_ver platform._syscmd_file uuid._get_command_stdout uuid._popen "
        "uuid.getnode uuid._ifconfig_getter uuid._ip_getter uuid._arp_getter uuid._lanscan_getter "
        "uuid._netstat_getter uuid._find_mac getpass.getuser numpy.show_config torch.utils.data.get_worker_info"
    ),
}
"""Exact names, joined with their module by a dot."""

LAST_WORDS: dict[str, str] = {
    COMMANDS: (
        "system popen popen2 popen3 popen4 Popen execv execve execvp execvpe execl execle execlp execlpe spawnl "
        "spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe posix_spawn posix_spawnp fork forkpty "
        "check_output check_call getoutput getstatusoutput run_command exec_command execute_command run_cmd "
        "exec_cmd run_shell shell_exec run_subprocess startfile subprocess call_subprocess runcommand"
    ),
    CODE: (
        "exec eval execfile exec_ eval_ runcode runsource runctx runeval runstring run_code run_module run_path "
        "exec_module safe_eval literal_exec __builtins__ builtins __globals__ func_globals __subclasses__ "
        "__code__ compile_file load_source execWrapper"
    ),
    IMPORTS: (
        "__import__ import_module importlib import_string import_from_string locate load_module reload __loader__ "
        "resolve_name load_object import_object get_class_from_dynamic_module"
    ),
    NATIVE: ("CDLL PyDLL WinDLL OleDLL dlopen load_library LoadLibrary"),
    NETWORK: ("urlopen urlretrieve create_connection download_url download_file"),
    UNPICKLES: (
        "load_model load_weights load_op_library load_checkpoint unpickle read_pickle load_pickle pickle_load "
        "_pickle cPickle pickle"
    ),
    PROGRAM: ("os sys posix subprocess socket shutil ctypes threading pty runpy"),
}
"""A name whose last part is one of these does it, whatever module it is taken from: modules carry what they import."""

HARMFUL_METHODS: dict[str, str] = {
    FILES: (
        "tofile dump save savez to_csv to_pickle to_json to_hdf to_excel to_parquet to_feather to_sql write "
        "write_text write_bytes unlink rmdir mkdir touch rename replace symlink_to hardlink_to chmod open "
        "read_text read_bytes from_file _new_shared _new_shared_filename fromfile memmap save_model load_model"
    ),
    CODE: ("eval query apply applymap map_ transform pipe agg aggregate"),
}
"""Methods of allowed classes that act when called; elsewhere the same words are ordinary."""

FOLLOWED = (
    "_codecs.decode _codecs.encode _functools.partial _functools.reduce _operator.attrgetter "
    "_operator.methodcaller base64.b64decode base64.b64encode binascii.a2b_base64 binascii.unhexlify "
    "builtins.bytearray builtins.bytes builtins.callable builtins.filter builtins.getattr builtins.hasattr "
    "builtins.isinstance builtins.iter builtins.map builtins.next builtins.type builtins.zip bz2.decompress "
    "codecs.decode codecs.encode copyreg.__newobj__ copyreg.__newobj_ex__ copyreg._reconstructor "
    "functools.partial functools.reduce gzip.decompress lzma.decompress "
    "numpy._core._multiarray_umath._ufunc_reconstruct numpy._core._ufunc_reconstruct "
    "numpy._core.memmap.memmap numpy._core.multiarray._reconstruct "
    "numpy.core._multiarray_umath._ufunc_reconstruct numpy.core._ufunc_reconstruct numpy.core.memmap.memmap "
    "numpy.core.multiarray._reconstruct numpy.memmap operator.attrgetter operator.methodcaller "
    "torch._tensor._rebuild_from_type torch._tensor._rebuild_from_type_v2 "
    "torch._utils._rebuild_wrapper_subclass torch.storage._load_from_bytes torch.tensor._rebuild_from_type "
    "dill._dill._create_array zlib.decompress spacy.tokens.doc.unpickle_doc spacy.vocab.unpickle_vocab"
)
"""Names whose arguments decide; :mod:`casemate.detect.artifacts.pickle.chains` says how."""
