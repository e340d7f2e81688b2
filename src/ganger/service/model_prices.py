"""The `[prices.MODEL]` tables of `ganger.toml`: what models cost that are called through the gateway."""

from __future__ import annotations

from ganger.gateway.prices import CONTEXT_MAX, OUTPUT_MAX, Price
from ganger.plans.values import Unfit, integer
from ganger.plans.wording import shown
from ganger.service.layers import Layers

USD_MAX = 1_000_000
TOKENS = (1_000, 1_000_000_000)
_HINT = 'as in [prices."claude-sonnet-*"] input = 3.0, output = 15.0: US dollars for a million tokens'


def read_prices(layers: Layers) -> dict[str, Price]:
    """Read what models cost; a name that ends with `*` stands for all that begin so."""
    found = {}
    for model, keys in layers.tables("prices").items():
        key = ("prices", model)
        amounts = {
            name: layers.take_from_files((*key, name), _amount)
            for name in ("input", "output", "cache_read", "cache_write")
        }
        context = layers.take_from_files((*key, "context"), integer(*TOKENS))
        output_max = layers.take_from_files((*key, "output_max"), integer(*TOKENS))
        missing = [name for name in ("input", "output") if name not in keys]
        if missing:
            layers.error((key,), f"has no `{missing[0]}`", _HINT)
        if "*" in model[:-1]:
            layers.error((key,), "has a `*` that is not its last character", _HINT)
        found[model] = Price(
            amounts["input"] or 0.0,
            amounts["output"] or 0.0,
            amounts["cache_read"],
            amounts["cache_write"],
            context or CONTEXT_MAX,
            output_max or OUTPUT_MAX,
        )
    return found


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= USD_MAX:
        raise Unfit(f"is {shown(value)}, must be dollars for a million tokens, at most {USD_MAX:,}", _HINT)
    return float(value)
