"""Lies that are known to get through somewhere, each with the reason; the bench shows them like any other.

An operator leaves this list in the commit that refuses it. `make liars` fails while any of them gets through.
"""

KNOWN: dict[str, str] = {}
