"""What Python's standard library and well-known packages do when called, by dotted name.

Names are regular expressions over the dotted name as it was resolved: ``os.system``, ``socket.socket().connect``
(``()`` marks what a call returned).
"""

from __future__ import annotations

import re

COMMANDS = re.compile(
    r"(?:os|posix|nt)\.(?:system|popen\d?|exec[lv]\w*|spawn[lv]\w*|posix_spawnp?|startfile)"
    r"|subprocess\.(?:run|call|check_call|check_output|Popen|getoutput|getstatusoutput)"
    r"|_posixsubprocess\.fork_exec|pty\.spawn|commands\.get(?:status)?output|popen2\.\w+"
    r"|asyncio\.create_subprocess_(?:exec|shell)|asyncio\.subprocess\.create_subprocess_(?:exec|shell)"
    r"|ctypes\.\w+\(\)\.system|ctypes\.(?:cdll|windll)\.[\w.]+\.(?:system|WinExec|ShellExecute\w)"
    r"|ctypes\.cdll\.LoadLibrary\(\)\.system"
    r"|get_ipython\(\)\.(?:system|getoutput)|IPython\.get_ipython\(\)\.(?:system|getoutput)"
    r"|sh\.\w+|plumbum\.local\[\]|pexpect\.(?:run|spawn)|invoke\.run|fabric\.(?:local|run)|webbrowser\.open\w*"
    r"|distutils\.spawn\.spawn|setuptools\.\w+\.spawn|numpy\.distutils\.exec_command\.exec_command"
    r"|torch\.utils\.\w+\.run_command|platform\.popen|multiprocessing\.util\.spawnv_passfds"
)
CODE = re.compile(
    r"builtins\.(?:exec|eval|execfile)|code\.\w+(?:\(\))?\.(?:runcode|runsource|push)|code\.interact|runpy\.run_\w+"
    r"|types\.FunctionType|timeit\.(?:timeit|repeat)|bdb\.Bdb\(\)\.run|profile\.run|cProfile\.run|trace\.Trace\(\)\.run"
    r"|get_ipython\(\)\.(?:run_cell|ex|ev|run_code)|IPython\.get_ipython\(\)\.(?:run_cell|ex|ev)|pdb\.run"
    r"|importlib\.(?:util|machinery)\.\w+\(\)(?:\.loader)?\.(?:exec_module|load_module)|imp\.load_\w+"
    r"|jinja2\.(?:Template|Environment\(\)\.from_string)\(\)\.render|pandas\.eval|numexpr\.evaluate"
)
DECODERS = re.compile(
    r"base64\.\w*decode\w*|binascii\.(?:unhexlify|a2b_\w+)|codecs\.(?:decode|getdecoder\(\))|zlib\.decompress|gzip\.decompress"
    r"|bz2\.decompress|lzma\.decompress|zstandard\.decompress|lz4\.\w+\.decompress|marshal\.loads|builtins\.bytes\.fromhex|builtins\.bytearray\.fromhex"
    r"|zlib\.decompressobj\(\)\.decompress|Crypto\.[\w.]+\(\)\.decrypt|cryptography\.fernet\.Fernet\(\)\.decrypt"
    r"|urllib\.parse\.unquote\w*|html\.unescape|brotli\.decompress|quopri\.decodestring|uu\.decode"
)
FETCHES = re.compile(
    r"requests\.(?:get|post|put|request|patch|head|Session\(\)\.\w+|session\(\)\.\w+)|httpx\.(?:get|post|put|request|stream|Client\(\)\.\w+)"
    r"|urllib\.request\.(?:urlopen|urlretrieve|build_opener\(\)\.open|URLopener\(\)\.\w+)|urllib2?\.urlopen|urllib\.urlretrieve|urllib\.urlopen"
    r"|urllib3\.(?:request|PoolManager\(\)\.request)|aiohttp\.\w+\(\)\.(?:get|post|request)"
    r"|http\.client\.HTTPS?Connection\(\)\.(?:request|connect|getresponse)|httplib\.HTTPS?Connection\(\)\.\w+"
    r"|socket\.(?:create_connection|gethostbyname\w*|getaddrinfo|create_server)"
    r"|socket\.(?:socket|create_connection)\(\)\.(?:connect\w*|bind|send\w*|recv\w*|listen)"
    r"|smtplib\.\w+\(\)\.\w+|ftplib\.FTP\w*(?:\(\)\.\w+)?|telnetlib\.Telnet|paramiko\.\w+\(\)\.\w+|xmlrpc\.client\.ServerProxy"
    r"|websocket\.create_connection|wget\.download|gdown\.download|pycurl\.Curl\(\)\.perform|dns\.resolver\.(?:resolve|query)"
    r"|asyncio\.open_connection|telegram\.Bot|discord\.\w*Webhook\w*|boto3\.client\(\)\.\w+|asyncssh\.connect"
    r"|socketserver\.\w+\(\)\.serve_forever|http\.server\.\w+\(\)\.serve_forever"
)
USUAL_ADDRESS = re.compile(r"https://(?:pypi\.org|files\.pythonhosted\.org|huggingface\.co|download\.pytorch\.org)/")
UNPICKLERS = re.compile(
    r"(?:pickle|_pickle|cPickle|dill|cloudpickle|pickle5|jsonpickle|shelve)\.(?:loads?|decode|open|Unpickler\(\)\.load)"
    r"|joblib\.load|pandas\.read_pickle|torch\.load|numpy\.load|yaml\.(?:unsafe_load|full_load|load)|marshal\.load"
)
NATIVE = re.compile(
    r"ctypes\.(?:windll|oledll)\.[\w.]+|ctypes\.(?:memmove|CFUNCTYPE\(\)|string_at|pythonapi\.\w+)|mmap\.mmap\(\)\.write"
    r"|ctypes\.cast\(\)|ctypes\.CDLL\(\)\.(?:mprotect|mmap|memfd_create|ptrace)|os\.memfd_create|_ctypes\.\w+"
)
ASKS_WINDOWS = re.compile(
    r"ctypes\.(?:windll|oledll)\.(?:kernel32\.(?:(?:Get|Set)(?:StdHandle|Console\w*|LastError|ErrorMode|File(?:Type|Attributes\w*)|"
    r"Version\w*|Locale\w*|\w*PathName\w*|Thread(?:UI)?L\w*|UserDefault\w+|Tick\w+|System\w+|Disk\w+|Global\w+)|GlobalMemoryStatusEx)|"
    r"shell32\.(?:IsUserAnAdmin|SetCurrentProcessExplicitAppUserModelID|SHGetFolderPathW?)|shcore\.\w*Dpi\w*|user32\.(?:Get|SetProcessDPI)\w+)"
)
"""What asks Windows about the console, the screen or the machine."""
SHELLCODE = re.compile(
    r"VirtualAlloc|CreateThread|CreateRemoteThread|RtlMoveMemory|WriteProcessMemory|mprotect|memfd_create"
)
REMOTE_CODE = re.compile(
    r"torch\.hub\.load|transformers\.\w+\.from_pretrained|datasets\.load_dataset|transformers\.pipeline"
)
TRUSTING = ("trust_remote_code", "trust_repo")
DELETES = re.compile(r"shutil\.rmtree|os\.(?:remove|unlink|rmdir|removedirs)|pathlib\.Path\(\)\.(?:unlink|rmdir)")
WRITES = re.compile(
    r"pathlib\.(?:Posix|Windows)?Path\(\)\.(?:write_text|write_bytes|touch|open|mkdir|symlink_to|chmod)"
    r"|os\.(?:mknod|mkfifo|symlink|link|rename|replace|chmod|chown|truncate|write)|shutil\.(?:copy\w*|move)"
)
OPENS = re.compile(r"(?:builtins|io|codecs|os|gzip|_io)\.open|io\.FileIO|pathlib\.Path\(\)\.open")
READS = re.compile(r"pathlib\.(?:Posix|Windows)?Path\(\)\.(?:read_text|read_bytes)")
POWERFUL = frozenset(
    {"builtins", "os", "subprocess", "posix", "nt", "importlib", "ctypes", "sys", "shutil", "socket", "pty", "code",
     "types", "runpy", "here"}
)  # fmt: skip
"""Modules from which a name that is hidden is hidden for a reason; ``here`` is the module itself."""
PUT_TOGETHER = frozenset({"builtins.getattr", "builtins.__import__", "importlib.import_module", "importlib.__import__",
                          "pydoc.locate", "pkgutil.resolve_name"})  # fmt: skip
SHELL_MAGICS = frozenset(
    ["!", "bash", "sh", "script", "system", "sx", "sc", "cmd", "perl", "ruby", "powershell", "pwsh"]
)
"""IPython's magics whose text a shell or its like runs."""
SHOWS = re.compile(r"IPython\.(?:core\.)?display\.(?:HTML|Javascript|SVG|Markdown|display_html|display_javascript)")
INSTALLS = re.compile(
    r"pip\.main|pip\._internal\.main|pip\._internal\.cli\.main\.main|setuptools\.command\.easy_install\.main|ensurepip\.bootstrap|conda\.cli\.main"
)
PERSISTENT = re.compile(
    r"\.bashrc|\.bash_profile|\.zshrc|\.profile\b|authorized_keys|crontab|/etc/cron|/etc/systemd|\.config/autostart|"
    r"sitecustomize|usercustomize|site-packages/.*\.pth|/etc/(?:passwd|sudoers|rc\.local|ld\.so)|LaunchAgents|\\Startup\\|"
    r"CurrentVersion\\Run|\.git/hooks|\.ipython/profile|ipython_config|\.config/systemd|startup/\d*.*\.py",
    re.IGNORECASE,
)
SECRETS = re.compile(
    r"\.ssh/|id_rsa|id_ed25519|\.aws/|\.kube/config|\.docker/config|\.netrc|\.git-credentials|\.huggingface/token|"
    r"huggingface/token|\.config/gcloud|/etc/shadow|/etc/passwd|/proc/self/environ|\.gnupg|\.bash_history|wallet\.dat|"
    r"Login Data|\.mozilla/firefox|Cookies$|\.pypirc|\.npmrc|169\.254\.169\.254|metadata\.google\.internal",
    re.IGNORECASE,
)
OUTSIDE = re.compile(r"^(?:/(?!dev/(?:null|stdout|stderr|shm/?$))|~|[A-Za-z]:[\\/]|\\\\|\$HOME)")
DUNDERS = frozenset(["__subclasses__", "__globals__", "__builtins__", "__code__", "__mro__", "__bases__", "__closure__", "func_globals", "f_globals", "gi_frame", "f_builtins", "__loader__", "__reduce__"])  # fmt: skip  # noqa: E501

MODULES_EVERYWHERE = frozenset({"os", "sys", "subprocess", "builtins", "ctypes", "importlib", "posix", "pty"})
"""Modules that are the same whatever module they are taken from (``shutil.os``)."""
HANDED: tuple[tuple[re.Pattern[str], int, str], ...] = tuple(
    # what calls a function that it is handed; which argument that is, and how the function's own arguments are given
    (re.compile(pattern), place, given)
    for pattern, place, given in (
        (r"atexit\.register|threading\._register_atexit|sys\.addaudithook|contextlib\.\w+\(\)\.callback", 0, "rest"),
        (r"builtins\.(?:map|filter)|functools\.reduce|itertools\.starmap", 0, "items"),
        (r"[\w.]*(?:Executor|Pool)\(\)\.(?:submit|apply|apply_async)", 0, "rest"),
        (r"[\w.]*(?:Executor|Pool)\(\)\.(?:map|imap\w*|starmap|map_async)", 0, "items"),
        (r"asyncio\.to_thread|_thread\.start_new(?:_thread)?|[\w.]*loop\(\)\.call_soon", 0, "rest"),
        (r"[\w.]*loop\(\)\.run_in_executor|sched\.scheduler\(\)\.enter|signal\.signal", 1, "rest"),
        (r"threading\.Timer", 1, "list"),
    )
)

LOADER_BASES = re.compile(
    r"(?:PreTrained|Pretrained)\w+|\w*Pipeline$|Model$|Module$|\w*(?:Config|Tokenizer|Processor|Extractor|ForCausalLM)$"
    r"|GeneratorBasedBuilder|ArrowBasedBuilder|DatasetBuilder|BuilderConfig|BeamBasedBuilder|_BaseExamplesIterable|Layer$"
    r"|install\w*|develop|build\w*|egg_info|bdist\w*|sdist|Command|editable_wheel|BuildHookInterface|MetadataHookInterface"
)
LOADER_CLASSES = re.compile(
    r"EndpointHandler|PreTrainedHandler|TritonPythonModel|InferenceHandler|\w*Handler$|Predictor$"
)
_LOADER_METHODS_WORDS = (
    "__init__ __new__ __call__ __init_subclass__ __del__ __getattr__ __setstate__ __reduce__ __post_init__ "
    "forward from_pretrained from_config _init_weights post_init run finalize_options initialize_options _info "
    "_split_generators _generate_examples _generate_tables initialize execute setup predict call build get_config "
    "preprocess inference postprocess handle load _load tokenize _tokenize __len__ __getitem__ __iter__"
)
LOADER_METHODS = frozenset(_LOADER_METHODS_WORDS.split())
ASKED_METHODS = frozenset({"__call__", "handle", "predict", "preprocess", "inference", "execute"})
ASKED_FUNCTIONS = frozenset({"input_fn", "predict_fn"})
"""What a server gives requests to."""
SERVER_METHODS: tuple[frozenset[str], ...] = (frozenset({"initialize", "handle"}), frozenset({"initialize", "execute"}))
"""A class with such methods is one that a model server calls, whatever its name (TorchServe, Triton)."""
_LOADER_FUNCTIONS_WORDS = (
    "model_fn input_fn predict_fn output_fn load_model init_model build_wheel build_sdist build_editable "
    "get_requires_for_build_wheel get_requires_for_build_sdist prepare_metadata_for_build_wheel load_context "
    "__getattr__ __dir__ load_ipython_extension _jupyter_server_extension_points load_jupyter_server_extension "
    "pytest_configure pytest_sessionstart _load_pyfunc get_model create_model"
)
LOADER_FUNCTIONS = frozenset(_LOADER_FUNCTIONS_WORDS.split())
"""What frameworks, installers and servers call by themselves once a module is loaded."""
