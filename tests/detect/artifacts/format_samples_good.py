"""More good files: what notebooks, build files, handlers and configurations do as a matter of course."""

from __future__ import annotations

import json

from artifact_samples import zipped
from format_samples import cell, notebook, output, sequential, skops_operator

MORE_GOOD_FILES = [
    ("getter.skops", skops_operator("attrgetter", "coef_")),
    (
        "a.ipynb",
        notebook(
            cell("from google.colab import drive\ndrive.mount('/content/drive')"),
            cell(
                "import os\nos.environ['KAGGLE_USERNAME']='x'\n!kaggle datasets download -d a/b\n!mkdir -p ~/.kaggle && cp kaggle.json ~/.kaggle/ && chmod 600 ~/.kaggle/kaggle.json"  # noqa: E501
            ),
        ),
    ),
    (
        "b.ipynb",
        notebook(
            cell(
                "!pip install torch --index-url https://download.pytorch.org/whl/cu118\n!apt-get -qq install -y libfluidsynth1 &> /dev/null\n%cd /content\n!cat README.md | head -5\n!python setup.py install"  # noqa: E501
            )
        ),
    ),
    (
        "c.ipynb",
        notebook(
            cell(
                "import pickle\nwith open('model.pkl','wb') as f:\n    pickle.dump(m,f)\nm = pickle.load(open('model.pkl','rb'))\neval('1+1')"  # noqa: E501
            )
        ),
    ),
    (
        "d.ipynb",
        notebook(
            cell(
                "from transformers import AutoModel\nm = AutoModel.from_pretrained('a/b', trust_remote_code=True)\nfrom huggingface_hub import login\nlogin(token=os.getenv('HF_TOKEN'))"  # noqa: E501
            )
        ),
    ),
    (
        "e.ipynb",
        notebook(
            cell(
                "import subprocess\nsubprocess.run(['ffmpeg','-i','a.mp4'], check=True)\nsubprocess.run('ls -la', shell=True)\nprint(subprocess.getoutput('nvidia-smi'))\nout = subprocess.check_output(f'python train.py --lr {lr}', shell=True)"  # noqa: E501
            )
        ),
    ),
    (
        "f.ipynb",
        notebook(
            cell(
                "from IPython.display import HTML, display\ndisplay(HTML('<h1>x</h1><table><tr><td>1</td></tr></table>'))\n%load_ext tensorboard\n%tensorboard --logdir logs"  # noqa: E501
            )
        ),
    ),
    (
        "g.ipynb",
        notebook(
            cell(
                "!curl -O https://example.com/data.csv\n!curl -L https://x/y.tar.gz | tar xz\n!wget -qO- https://x/y.tgz | tar -xz -C data\n!sed -i 's/a/b/' x.txt\n!for f in *.txt; do echo $f; done"  # noqa: E501
            )
        ),
    ),
    (
        "h.ipynb",
        notebook(
            cell(
                "import urllib.request, zipfile, shutil\nurllib.request.urlretrieve('https://x/y.zip','y.zip')\nzipfile.ZipFile('y.zip').extractall('data')\nshutil.rmtree('data', ignore_errors=True)\nopen('/content/x.txt','w').write('hi')"  # noqa: E501
            )
        ),
    ),
    (
        "i.ipynb",
        notebook(
            cell(
                "import requests, os\nr = requests.post('https://api.openai.com/v1/chat', headers={'Authorization': f\"Bearer {os.environ['OPENAI_API_KEY']}\"}, json={'a':1})\nprint(r.json())"  # noqa: E501
            )
        ),
    ),
    (
        "j.ipynb",
        notebook(
            cell(
                "import base64, io\nfrom PIL import Image\nimg = Image.open(io.BytesIO(base64.b64decode(s)))\nexec(open('utils.py').read())"  # noqa: E501
            )
        ),
    ),
    (
        "k.ipynb",
        notebook(
            cell(
                "1",
                [
                    output(
                        "text/html",
                        [
                            "<style scoped>.dataframe tbody tr th{}</style>",
                            '<table border="1" class="dataframe"></table>',
                        ],
                    ),
                    output("application/vnd.plotly.v1+json", {"data": [], "layout": {}}),
                    output("application/vnd.jupyter.widget-view+json", {"model_id": "x", "version_major": 2}),
                ],
            ),
            {
                "cell_type": "markdown",
                "source": "<a href='https://colab.research.google.com/x'><img src='https://colab.research.google.com/assets/colab-badge.svg'/></a>\n<script src='https://x'>"  # noqa: E501
                if False
                else "[![Open](x)](y) <br> <center><b>hi</b></center>",
                "metadata": {},
            },
        ),
    ),
    (
        "l.ipynb",
        notebook(
            cell(
                '!jupyter nbextension enable --py widgetsnbextension\n!git lfs install && git clone https://huggingface.co/a/b\n!python -c "import torch; print(torch.__version__)"\n!bash run.sh\n!chmod +x run.sh && ./run.sh'  # noqa: E501
            )
        ),
    ),
    ("m.ipynb", notebook(cell("!curl -fsSL https://ollama.com/install.sh | sh"))),
    (
        "n.ipynb",
        notebook(
            cell(
                "!python -m spacy download en_core_web_sm\n!whoami\n!hostname"
                if False
                else "!python -m spacy download en_core_web_sm"
            )
        ),
    ),
    (
        "o.ipynb",
        notebook(
            cell("%%writefile app.py\nimport streamlit as st\nst.write('x')"),
            cell("%%capture\n!pip install -q x"),
            cell("%%html\n<style>.a{color:red}</style>"),
            cell("%%latex\n$x$"),
            cell("%%sql\nselect 1"),
            cell("%%R\nplot(x)"),
        ),
    ),
    (
        "setup.py",
        b"from setuptools import setup, Extension\nfrom Cython.Build import cythonize\nimport numpy\nimport codecs, os, re\ndef read(*p):\n    with codecs.open(os.path.join(os.path.abspath(os.path.dirname(__file__)), *p), 'r') as fp:\n        return fp.read()\nversion = re.search(r'x', read('a.py'))\nsetup(ext_modules=cythonize([Extension('a',['a.pyx'])]), include_dirs=[numpy.get_include()])\n",  # noqa: E501
    ),
    (
        "setup2.py",
        b"import torch, os\nfrom setuptools import setup\nfrom torch.utils.cpp_extension import BuildExtension, CUDAExtension, CUDA_HOME\nimport subprocess\ndef get_cuda(d):\n    out = subprocess.check_output([d + '/bin/nvcc', '-V'], universal_newlines=True)\n    return out\nget_cuda(CUDA_HOME)\nsubprocess.run(['git', 'submodule', 'update', '--init', 'csrc/cutlass'])\nsetup(name='x', cmdclass={'build_ext': BuildExtension})\n",  # noqa: E501
    ),
    (
        "setup3.py",
        b"import os, sys, platform, urllib.request\nfrom setuptools import setup\nfrom wheel.bdist_wheel import bdist_wheel as _b\nclass W(_b):\n    def run(self):\n        if os.environ.get('F'):\n            return super().run()\n        try:\n            urllib.request.urlretrieve('https://github.com/x', 'w.whl')\n        except urllib.error.HTTPError:\n            super().run()\nsetup(name='x', cmdclass={'bdist_wheel': W})\n",  # noqa: E501
    ),
    (
        "handler.py",
        b"import os, base64, io, requests\nimport torch\nfrom PIL import Image\nclass EndpointHandler():\n    def __init__(self, path=''):\n        self.device = 'cuda'\n        self.key = os.getenv('KEY')\n    def __call__(self, data):\n        img = Image.open(io.BytesIO(base64.b64decode(data['image'])))\n        r = requests.get(data['url'])\n        return {'a': 1}\n",  # noqa: E501
    ),
    (
        "modeling_x.py",
        b"import math, importlib\nfrom typing import Optional\nimport torch\nfrom torch import nn\nfrom transformers.modeling_utils import PreTrainedModel\nfrom .configuration_x import XConfig\ntry:\n    from flash_attn import flash_attn_func\nexcept ImportError:\n    pass\nclass XModel(PreTrainedModel):\n    config_class = XConfig\n    def __init__(self, config):\n        super().__init__(config)\n        self.l = nn.ModuleList([nn.Linear(1,1) for _ in range(config.n)])\n        if importlib.util.find_spec('xformers'): pass\n        self.act = getattr(nn.functional, config.hidden_act)\n    def forward(self, x):\n        return torch.utils.checkpoint.checkpoint(self.l[0], x)\nXModel.register_for_auto_class('AutoModel')\n",  # noqa: E501
    ),
    (
        "train.py",
        b"import os, subprocess\nos.environ['TOKENIZERS_PARALLELISM']='false'\nimport torch.distributed as dist\ndef main():\n    subprocess.Popen(f'tensorboard --logdir {x}', shell=True)\n    os.system('rm -rf out')\nmain()\n",  # noqa: E501
    ),
    (
        "conftest.py",
        b"import pytest, sys, os\nsys.path.insert(0, os.path.dirname(__file__))\n@pytest.fixture\ndef x(): return 1\n",
    ),
    (
        "Dockerfile",
        b'FROM python:3.11-slim\nENV PIP_NO_CACHE_DIR=1 \\\n    PYTHONUNBUFFERED=1\nSHELL ["/bin/bash", "-c"]\nRUN apt-get update -y && \\\n    apt-get install -y curl gnupg && \\\n    curl -s https://packages.cloud.google.com/apt/doc/apt-key.gpg | apt-key add - && \\\n    rm -rf /var/lib/apt/lists/*\nRUN curl -LsSf https://astral.sh/uv/install.sh | sh\nRUN --mount=type=cache,target=/root/.cache pip install torch --index-url https://download.pytorch.org/whl/cpu\nRUN useradd -m u && chown -R u /app && chmod +x /app/start.sh\nRUN echo \'export A=1\' >> ~/.bashrc\nRUN git clone https://github.com/x/y /tmp/y && cd /tmp/y && make && make install\nRUN python -c "import nltk; nltk.download(\'punkt\')"\nCMD ["uvicorn", "app:app", "--host", "0.0.0.0"]\nENTRYPOINT ["/entrypoint.sh"]\n',  # noqa: E501
    ),
    (
        "environment.yaml",
        b"name: ldm\nchannels:\n  - pytorch\n  - nvidia\n  - https://conda.anaconda.org/conda-forge\n  - huggingface\ndependencies:\n  - python=3.8.5\n  - pip:\n    - -e git+https://github.com/CompVis/taming-transformers.git@master#egg=taming-transformers\n    - --find-links https://data.pyg.org/whl/torch-2.0.html\n    - -e .\n",  # noqa: E501
    ),
    (
        "v1.yaml",
        b"model:\n  base_learning_rate: 1e-4\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n  params:\n    unet_config:\n      target: ldm.modules.diffusionmodules.openaimodel.UNetModel\n      params: {a: 1}\n    first_stage_config:\n      target: torch.nn.Identity\n",  # noqa: E501
    ),
    (
        "l.yaml",
        b"trainer:\n  class_path: lightning.Trainer\n  logger:\n    class_path: lightning.pytorch.loggers.TensorBoardLogger\nmodel:\n  class_path: my.Model\noptimizer:\n  _target_: functools.partial\n  _args_: [torch.optim.Adam]\n",  # noqa: E501
    ),
    (
        "logging.json",
        b'{"version":1,"formatters":{"x":{"()":"pythonjsonlogger.jsonlogger.JsonFormatter"}},"handlers":{"h":{"class":"logging.StreamHandler"}}}',
    ),
    (
        "tok.json",
        json.dumps(
            {
                "chat_template": "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- endif %}{{- bos_token }}{%- for message in loop_messages %}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('After') }}{%- endif %}{%- if tools is defined %}{{ tools | tojson(indent=4) }}{% endif %}{{ message.content.split('</think>')[-1].lstrip('\\n') }}{{ strftime_now('%d %b %Y') }}{%- for k, v in tool.function.items() if v is string %}{{ k.__len__ if false else k }}{%- endfor %}{%- endfor %}".replace(  # noqa: E501
                    "{{ k.__len__ if false else k }}", "{{ k }}"
                )
            }
        ).encode(),
    ),
    (
        "p.json",
        b'{"name":"x","scripts":{"test":"jest","postinstall":"node scripts/build.js","prepare":"husky install"}}',
    ),
    (
        "sk.json",
        json.dumps(
            {
                "__class__": "Pipeline",
                "__module__": "sklearn.pipeline",
                "__loader__": "ObjectNode",
                "content": {
                    "f": {
                        "__class__": "function",
                        "__module__": "numpy",
                        "__loader__": "FunctionNode",
                        "content": {"module_path": "numpy", "function": "log1p"},
                    },
                    "p": {
                        "__class__": "partial",
                        "__module__": "functools",
                        "__loader__": "PartialNode",
                        "content": {},
                    },
                    "t": {
                        "__class__": "type",
                        "__module__": "builtins",
                        "__loader__": "TypeNode",
                        "content": {"__class__": "float64", "__module__": "numpy"},
                    },
                },
            }
        ).encode(),
    ),
    ("r.csv", b"name,formula,phone\nx,-5,+1 555\ny,=A1+B1,@handle\n"),
    ("s.csv", b'id,text\n1,"He said import os is fine; eval(x)"\n'),
    ("t.txt", b"import numpy as np\nimport pandas as pd\n"),
    ("u.md", b"# x\n<script>alert(1)</script>\n`!!python/object/apply:os.system`\n"),
    (
        "w.xml",
        b'<?xml version="1.0"?><!DOCTYPE project PUBLIC "-//A//EN" "http://www.w3.org/x.dtd"><project><a/></project>',
    ),
    ("x.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'),
    ("special_tokens_map.json", b'{"bos_token":{"content":"<s>","lstrip":false}}'),
    ("preprocessor_config.json", b'{"image_mean":[0.5],"feature_extractor_type":"X"}'),
    ("trainer_state.json", b'{"log_history":[{"loss":0.1}],"best_metric":null}'),
    ("README.md", b"---\ntags: [a]\n---\n"),
    (".gitignore", b"*.pyc\n__pycache__/\n"),
    ("Makefile", b"all:\n\tpip install -e .\n"),
    ("pyproject.toml", b"[build-system]\nrequires=['setuptools']\n"),
    ("setup.cfg", b"[metadata]\nname = x\n"),
    (
        "install.sh",
        b"#!/usr/bin/env bash\nset -euo pipefail\nif ! command -v uv; then\n  curl -LsSf https://astral.sh/uv/install.sh | sh\nfi\npython -m venv .venv && source .venv/bin/activate\npip install -r requirements.txt\n",  # noqa: E501
    ),
    (
        "post-link.sh",
        b'#!/bin/bash\n"${PREFIX}/bin/jupyter-nbextension" enable x --py --sys-prefix >> "${PREFIX}/.messages.txt" 2>&1\n',  # noqa: E501
    ),
    (
        "keras_bn.keras",
        zipped(
            (
                "config.json",
                json.dumps(
                    sequential(
                        {
                            "module": "keras.layers",
                            "class_name": "InputLayer",
                            "config": {"batch_shape": [None, 3], "dtype": "float32"},
                            "registered_name": None,
                        },
                        {
                            "module": "keras.layers",
                            "class_name": "Dense",
                            "config": {
                                "kernel_initializer": {
                                    "module": "keras.initializers",
                                    "class_name": "GlorotUniform",
                                    "config": {"seed": None},
                                    "registered_name": None,
                                },
                                "dtype": {
                                    "module": "keras",
                                    "class_name": "DTypePolicy",
                                    "config": {"name": "float32"},
                                },
                                "activation": "relu",
                            },
                            "registered_name": None,
                        },
                        {
                            "module": "keras.layers",
                            "class_name": "TextVectorization",
                            "config": {"vocabulary": ["a", "b"]},
                        },
                        {
                            "module": "keras.layers",
                            "class_name": "Activation",
                            "config": {
                                "activation": {
                                    "module": "builtins",
                                    "class_name": "function",
                                    "config": "relu",
                                    "registered_name": "function",
                                }
                            },
                        },
                    )
                    | {
                        "compile_config": {
                            "optimizer": {
                                "module": "keras.optimizers",
                                "class_name": "Adam",
                                "config": {},
                                "registered_name": None,
                            },
                            "loss": {
                                "module": "builtins",
                                "class_name": "function",
                                "config": "my_loss",
                                "registered_name": "my_loss",
                            },
                        }
                    }
                ).encode(),
            )
        ),
    ),
]
