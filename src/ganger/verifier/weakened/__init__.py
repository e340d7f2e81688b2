"""Finds where a candidate's tests see less than its base's did (BX5), by comparing the two versions of what differs.

Pure and total: any bytes are compared, in time and memory bound by their size. What a parser reads is compared by its
syntax tree, the rest by its lines. What it finds is not a verdict: a test that expects something else now may well be
right, and the policy decides.
"""

from __future__ import annotations

from ganger.verifier.weakened.find import FOUND_MAX, find_weakened

__all__ = ["FOUND_MAX", "find_weakened"]
