"""Text that somebody runs: Python, shell commands, pages and templates, judged without running them.

``python.py`` walks Python's syntax tree as the interpreter would go through a module, ``shell.py`` judges commands,
``markup.py`` what a browser runs, ``templates.py`` Jinja.  All are pure: text in, :class:`.acts.Act` out; the formats
decide what an act is worth in their place.
"""
