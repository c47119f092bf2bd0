"""Where a conversation keeps answers that stand, for a transport that gives them in its stead.

Owns the border only: what stands is the device's to say, who gives it is `fastpath/exchange.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpath.exchange import Answer, Standing

if TYPE_CHECKING:
    from emulator.wire import Conversation

__all__ = ["Answer", "Standing", "standing_of"]


def standing_of(conversation: Conversation) -> Standing | None:
    """The answers of `conversation` that stand for a while; None where it has none, as most.

    A conversation that has some delays no action. A transport may give such an answer in its stead: it would send the
    same, at once, and be no other afterwards. One that also speaks unasked has none: the order would be lost.
    """
    found: Standing | None = getattr(conversation, "standing", None)
    return None if hasattr(conversation, "woken") else found
