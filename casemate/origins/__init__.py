"""Where addresses are registered, to whom, and what lists say of them, as of a day.

A registration is a property of a block of addresses: it is no location and no nationality, neither of
machines nor of people.
"""
