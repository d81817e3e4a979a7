"""A person's use of the lab, in integers, so that it is the same on every machine.

Past use halves every day. Floating-point powers differ in their last bit between C libraries, and then
digests of the state would differ. So the decay is a product of fixed-point factors, one for each bit of the
elapsed seconds.
"""

from __future__ import annotations

from decimal import Context, Decimal

from distribute.core.state.state import Usage

HALF_LIFE_S = 24 * 3600
"""Past use counts half after this long. In a share, past use is spread over the same time."""

ONE_CORE = HALF_LIFE_S * 1000
"""The weight of one core in a share: the core milliseconds of a day."""

OVERDUE_S = 1800.0
"""Jobs of one shape are overdue if their person was given no node for them for so long (see `overdue`)."""

_BITS = 32
_LONGEST = 25
"""After 2**25 seconds (a year, 388 halvings) nothing is left."""
_MOST_MS = 1 << 62
"""The largest number in a snapshot. A lab reaches it after thousands of years."""


def _factor(bit: int) -> int:
    halvings = Decimal(-(1 << bit)) / Decimal(HALF_LIFE_S)
    return int(Decimal(1 << _BITS) * Context(prec=40).power(Decimal(2), halvings))


_FACTORS = tuple(_factor(bit) for bit in range(_LONGEST))


def decayed(amount: int, elapsed_s: int) -> int:
    """What remains of an amount after `elapsed_s` seconds. If the clock went back, nothing decays."""
    if elapsed_s <= 0:
        return amount
    if elapsed_s >> _LONGEST:
        return 0
    while elapsed_s:
        lowest = elapsed_s & -elapsed_s
        amount = amount * _FACTORS[lowest.bit_length() - 1] >> _BITS
        elapsed_s ^= lowest
    return amount


def charge(usage: Usage, cores: int, held_s: float, now: float) -> None:
    """Add the use of `cores` for `held_s` seconds. `now` is in seconds since 1970."""
    elapsed_s = int(now) - usage.as_of_s
    usage.core_ms = min(_MOST_MS, decayed(usage.core_ms, elapsed_s) + cores * int(held_s * 1000))
    usage.as_of_s = max(usage.as_of_s, int(now))


def share(usage: Usage | None, cores_pending: int, now: float) -> int:
    """A person's share of the lab: cores held or pending, and past use spread over a day.

    It is an integer, in core milliseconds per day: one core is `ONE_CORE`.
    """
    if usage is None:
        return cores_pending * ONE_CORE
    past = decayed(usage.core_ms, int(now) - usage.as_of_s)
    return (cores_pending + usage.cores) * ONE_CORE + past
