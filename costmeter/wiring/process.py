"""What a process of costmeter's own sets for itself; a program that wraps its client keeps what it has."""

from __future__ import annotations

import gc

BETWEEN_COLLECTIONS = 50_000  # objects made and not dropped; Python's own default is 700


def collect_seldom() -> None:
    """Look for garbage in cycles seldom, and never among what is there already.

    A batch of two thousand calls makes some hundred thousand objects that live until it is written. Python would look
    through them, and through all modules, again and again.
    """
    youngest, *older = gc.get_threshold()
    if youngest == BETWEEN_COLLECTIONS:  # once: what is frozen later may be garbage already
        return
    gc.freeze()
    gc.set_threshold(BETWEEN_COLLECTIONS, *older)
