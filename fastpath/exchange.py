"""Answers that stand, given between the socket and Python: compiled where it was built, else the same in pure Python.

Owns the choice between the two, and how calls are taken and last words said; it knows no protocol but that a request
begins with two bytes which its answer repeats.
"""

from __future__ import annotations

import os

from fastpath import VARIABLE
from fastpath._pure_exchange import Connection, Model

if os.environ.get(VARIABLE) == "pure":
    from fastpath._pure_exchange import Answer, Exchange, Journal, Standing, take_call
else:
    try:
        from fastpath._exchange import Answer, Exchange, Journal, Standing, take_call
    except ImportError:
        from fastpath._pure_exchange import Answer, Exchange, Journal, Standing, take_call

__all__ = ["Answer", "Connection", "Exchange", "Journal", "Model", "Standing", "take_call"]
