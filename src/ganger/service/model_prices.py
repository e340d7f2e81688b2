"""The `[prices.MODEL]` tables of `ganger.toml`: what models cost that are called through the gateway."""

from __future__ import annotations

from ganger.gateway.prices import CONTEXT_MAX, OUTPUT_MAX, Long, Price
from ganger.plans.values import Unfit, integer
from ganger.plans.wording import shown
from ganger.service.layers import Key, Layers

USD_MAX = 1_000_000
TOKENS = (1_000, 1_000_000_000)
AMOUNTS = ("input", "output", "cache_read", "cache_write")
_NEEDED = ("input", "output")
_HINT = 'as in [prices."claude-sonnet-*"] input = 3.0, output = 15.0: US dollars for a million tokens'


def read_prices(layers: Layers) -> dict[str, Price]:
    """Read what models cost; a name that ends with `*` stands for all that begin so."""
    found = {}
    for model, keys in layers.tables("prices").items():
        key = ("prices", model)
        rates = _rates(layers, key)
        _lacks(layers, key, [name for name in _NEEDED if name not in keys])
        context = layers.take_from_files((*key, "context"), integer(*TOKENS))
        output_max = layers.take_from_files((*key, "output_max"), integer(*TOKENS))
        if "*" in model[:-1]:
            layers.error((key,), "has a `*` that is not its last character", _HINT)
        found[model] = Price(*rates, context or CONTEXT_MAX, output_max or OUTPUT_MAX, _long(layers, (*key, "long")))
    return found


def _long(layers: Layers, key: Key) -> Long | None:
    rates = _rates(layers, key)
    above = layers.take_from_files((*key, "above"), integer(*TOKENS))
    given = [name for name in ("above", *AMOUNTS) if layers.is_set((*key, name))]
    if not given:
        return None
    _lacks(layers, key, [name for name in ("above", *_NEEDED) if name not in given])
    return Long(*rates, above=above or 0)


def _rates(layers: Layers, key: Key) -> tuple[float, float, float | None, float | None]:
    input, output, read, write = (layers.take_from_files((*key, name), _amount) for name in AMOUNTS)
    return input or 0.0, output or 0.0, read, write


def _lacks(layers: Layers, key: Key, names: list[str]) -> None:
    for name in names:
        hint = "how many tokens a call must take to cost that: above = 200_000" if name == "above" else _HINT
        layers.error((key,), f"has no `{name}`", hint)


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= USD_MAX:
        raise Unfit(f"is {shown(value)}, must be dollars for a million tokens, at most {USD_MAX:,}", _HINT)
    return float(value)
