"""Pickles understood without being loaded.

``opcodes`` names the opcodes and the values of the abstract machine, ``machine`` interprets a stream as the C
unpickler would and tells what would be imported, called and changed, ``callables`` holds the exact names that real
files need and those that run code, ``verdicts`` judges what the machine saw.
"""
