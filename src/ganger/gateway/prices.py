"""What models cost: a table that the user writes (`[prices]`), in US dollars for a million tokens.

Some providers ask more for every token of a call that takes many (`[prices.MODEL.long]`): Gemini 2.5 Pro and Claude's
context of a million above 200,000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from ganger.gateway.account import Cost

CONTEXT_MAX, OUTPUT_MAX = 1_000_000, 32_000
"""Tokens taken for granted where a price does not say: the most that goes into a call, and the most that comes out."""


class Rates(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Dollars for a million tokens are millionths of a dollar for one."""

    input: float
    output: float
    cache_read: float | None = None
    """Of input that the provider has kept; None: as other input."""
    cache_write: float | None = None

    @property
    def dearest_input(self) -> float:
        """The most that a token of input can cost."""
        return max(self.input, self.cache_read or 0, self.cache_write or 0)


class Long(Rates, frozen=True, kw_only=True):
    """What each token of a call costs, also those that come out, that takes more than so many tokens."""

    above: int


class Price(Rates, frozen=True):
    """What a model costs."""

    context: int = CONTEXT_MAX
    output_max: int = OUTPUT_MAX
    long: Long | None = None
    """For calls that take many tokens; None: as others."""

    def rates(self, tokens_in: int) -> Rates:
        """What holds for a call that takes so many tokens, kept ones included."""
        return self.long if self.long is not None and tokens_in > self.long.above else self

    def dearest(self, tokens_in: int) -> Rates:
        """The most that a token of input, and one of output, can cost in a call that takes at most so many."""
        long = self.rates(tokens_in)
        return Rates(max(self.dearest_input, long.dearest_input), max(self.output, long.output))


class Tokens(Struct, frozen=True):
    """What a call used, each token counted once."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    @property
    def taken(self) -> int:
        """Those that went in."""
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All of them."""
        return self.taken + self.output


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of a model: that of its own name, or of the longest name that its name begins with; None: unknown."""
    if model in prices:
        return prices[model]
    begins = [name for name in prices if name.endswith("*") and model.startswith(name[:-1])]
    return prices[max(begins, key=len)] if begins else None


def cost(tokens: Tokens, price: Price | None) -> Cost:
    """What so many tokens cost, rounded up; no money where the price is unknown."""
    if price is None:
        return Cost(0, tokens.total)
    rates = price.rates(tokens.taken)
    read = rates.input if rates.cache_read is None else rates.cache_read
    write = rates.input if rates.cache_write is None else rates.cache_write
    micros = (
        tokens.input * rates.input
        + tokens.cache_read * read
        + tokens.cache_write * write
        + tokens.output * rates.output
    )
    # Ten decimals are far below any price and far above the error of a sum of doubles.
    return Cost(math.ceil(round(micros, 10)), tokens.total)


def most(tokens_in: int, tokens_out: int, price: Price | None) -> Cost:
    """The most that a call can cost which takes and gives at most so many tokens."""
    if price is None:
        return Cost(0, tokens_in + tokens_out)
    rates = price.dearest(tokens_in)
    micros = tokens_in * rates.input + tokens_out * rates.output
    return Cost(math.ceil(round(micros, 10)), tokens_in + tokens_out)


def affordable(tokens_in: int, left_micros: int | None, left_tokens: int | None, price: Price | None) -> int | None:
    """How many tokens may come out of a call that takes so many, so that it fits; None: there is no limit."""
    found = []
    if left_tokens is not None:
        found.append(left_tokens - tokens_in)
    rates = price.dearest(tokens_in) if price is not None else None
    if left_micros is not None and rates is not None and rates.output > 0:
        found.append(math.floor((left_micros - tokens_in * rates.input) / rates.output))
    return max(min(found), 0) if found else None
