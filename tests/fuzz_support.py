"""How many examples a test of a property tries."""

from __future__ import annotations

import hypothesis


def examples(number: int) -> int:
    """``number`` in ``make test``, twenty times as many in ``make fuzz``."""
    return number if hypothesis.settings.get_current_profile_name() == "same" else 20 * number
