"""No call can pass a limit, whatever its order, its cost, and whoever dies in between."""

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganger.gateway.account import Account, Charged, Cost, Limit, Limited, Refused, Reserved
from ganger.gateway.prices import Long, Price, Tokens, affordable, cost, most, price_of

PRICES = {
    "big": Price(15.0, 75.0, cache_read=1.5, cache_write=18.75),
    "small-*": Price(1.0, 5.0),
    "small-old-*": Price(2.0, 4.0),
    "long": Price(1.25, 10.0, cache_read=0.3, long=Long(2.5, 15.0, cache_read=0.6, above=1_000)),
    "odd": Price(4.0, 8.0, long=Long(1.0, 2.0, cache_write=9.0, above=1_000)),
}


def schedule(seed, *, keeps=True):
    """A random life of one turn's account with a provider that never says more than can be; what was spent in truth."""
    rng = random.Random(seed)
    limit = Limit(rng.choice([None, 10**6]), rng.choice([None, 50_000]))
    record, account, under_way, spent = [], Account(limit), {}, Cost()
    for _ in range(rng.randrange(1, 60)):
        what = rng.random()
        if what < 0.5:
            ask = Cost(rng.randrange(0, 400_000), rng.randrange(0, 20_000))
            entry = account.reserve(ask)
            if entry is not None:
                if keeps:
                    record.append(entry)
                under_way[entry.call] = ask
        elif what < 0.85 and under_way:
            call = rng.choice(list(under_way))
            ask = under_way.pop(call)
            paid = Cost(rng.randrange(0, ask.usd_micros + 1), rng.randrange(0, ask.tokens + 1))
            spent = spent.plus(paid)
            record.append(account.charge(call, paid, announced=True))
        elif what < 0.9:
            # Whoever keeps the account dies; the provider carries the open calls out to their end.
            for ask in under_way.values():
                spent = spent.plus(ask)
            under_way.clear()
            account = Account(limit, msgspec.json.decode(msgspec.json.encode(record), type=list[Reserved | Charged]))
        assert limit.fits(account.charged.plus(account.reserved)) or not keeps
    for ask in under_way.values():
        spent = spent.plus(ask)
    return limit, spent


@pytest.mark.parametrize("shard", range(4))
def test_no_schedule_passes_its_limit(shard):
    for seed in range(shard * 500, shard * 500 + 500):
        limit, spent = schedule(seed)
        assert limit.fits(spent), seed


def test_without_the_record_before_the_call_limits_are_passed():
    over = [seed for seed in range(500) if not (found := schedule(seed, keeps=False))[0].fits(found[1])]
    assert len(over) > 10


def test_a_call_is_charged_once():
    account = Account(Limit(100, None))
    entry = account.reserve(Cost(60, 1))
    assert entry == Reserved(1, Cost(60, 1))
    assert account.reserve(Cost(60, 1)) is None
    account.charge(1, Cost(10, 1), announced=True)
    account.charge(1, Cost(10, 1), announced=True)
    assert (account.charged, account.left) == (Cost(10, 1), Limit(90, None))
    assert account.reserve(Cost(90, 0)) == Reserved(2, Cost(90, 0))


def test_what_was_open_when_a_gateway_died_is_charged_with_the_most():
    entries = [Reserved(1, Cost(5, 50)), Charged(1, Cost(1, 10)), Limited(), Refused("x"), Reserved(2, Cost(7, 70))]
    account = Account(Limit(), entries)
    assert (account.charged, account.is_busy, account.calls) == (Cost(8, 80), False, 2)


@pytest.mark.parametrize(
    ("model", "found"),
    [("big", "big"), ("small-5", "small-*"), ("small-old-3", "small-old-*"), ("bigger", ""), ("", ""), ("small", "")],
)
def test_the_price_of_a_model(model, found):
    assert price_of(model, PRICES) == (PRICES[found] if found else None)


def test_what_tokens_cost():
    assert cost(Tokens(1000, 200, 100, 10), PRICES["big"]) == Cost(15_000 + 300 + 1_875 + 750, 1_310)
    assert cost(Tokens(1, 0, 0, 0), Price(0.1, 1)) == Cost(1, 1)
    assert cost(Tokens(5, 0, 0, 5), None) == Cost(0, 10)
    assert most(1000, 10, PRICES["big"]) == Cost(18_750 + 750, 1_010)


def test_what_a_call_costs_that_takes_many_tokens():
    """Kept ones count to what it takes, and all its tokens cost more, also those that come out."""
    assert cost(Tokens(400, 600, 0, 10), PRICES["long"]) == Cost(500 + 180 + 100, 1_010)
    assert cost(Tokens(401, 600, 0, 10), PRICES["long"]) == Cost(math.ceil(1_002.5 + 360 + 150), 1_011)
    assert most(1_000, 10, PRICES["long"]) == Cost(1_250 + 100, 1_010)
    assert most(1_001, 10, PRICES["long"]) == Cost(math.ceil(2_502.5 + 150), 1_011)
    # It may take fewer than that, and those can be the dearer ones.
    assert most(1_001, 10, PRICES["odd"]) == Cost(9_009 + 80, 1_011)


@given(
    st.builds(Tokens, *[st.integers(0, 2_000)] * 4),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
    st.sampled_from([*PRICES.values()]),
)
def test_no_call_costs_more_than_was_set_aside(tokens, more_in, more_out, price):
    reserved = most(tokens.taken + more_in, tokens.output + more_out, price)
    paid = cost(tokens, price)
    assert paid.usd_micros <= reserved.usd_micros and paid.tokens <= reserved.tokens


@given(st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from([*PRICES.values()]))
def test_what_is_affordable_fits_and_one_more_does_not(tokens_in, micros, tokens, price):
    found = affordable(tokens_in, micros, tokens, price)
    limit = Limit(micros, tokens)
    if found:
        assert limit.fits(most(tokens_in, found, price))
    assert not limit.fits(most(tokens_in, found + 1, price))
    assert affordable(tokens_in, None, None, price) is None
