"""What may a duration, a share, a percentage or a rate look like? Text becomes a number here, once, at the edge.

Inside, durations are `timedelta`, shares floats strictly between 0 and 1 (1.0 for "100%"), percentages floats
0.0001 ... 100, rates requests per second, byte rates KiB per second. Every refusal shows the value and a valid one.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta

import durationpy

from chaos.errors import InvalidValue

MILLISECOND = timedelta(milliseconds=1)
_NUMBER = r"(\d+(?:\.\d+)?)"


def duration(value: str | timedelta, *, name: str = "duration") -> timedelta:
    """`"2s"`, `"1m30s"`, `"500ms"` or a timedelta; at least 1 ms, as Istio asks. Raises InvalidValue."""
    if isinstance(value, timedelta):
        parsed = value
    elif isinstance(value, str):
        parsed = _parsed(value, name)
    else:
        raise InvalidValue(f'{name} is {value!r}: give a text with a unit such as "2s" or "500ms", or a timedelta')
    if parsed < MILLISECOND:
        raise InvalidValue(f"{name} is {value!r}: the shortest duration is 1 ms")
    return parsed


def _parsed(text: str, name: str) -> timedelta:
    if re.fullmatch(_NUMBER, text.strip()):
        raise InvalidValue(f'{name} is "{text}", a number without a unit: did you mean "{text.strip()}ms" or "{text.strip()}s"?')
    if re.search(r"[dwy]\s*$|[dwy]\d", text) or text.strip().startswith("-"):
        raise InvalidValue(f'{name} is "{text}": the units are h, m, s, ms (as Istio takes them), and it is not negative')
    try:
        return durationpy.from_str(text.strip())
    except (durationpy.DurationError, ValueError) as error:
        raise InvalidValue(f'{name} is "{text}", which is no duration: write "2s", "500ms" or "1m30s"') from error


def text_of(value: timedelta) -> str:
    """The shortest Go spelling: `2s`, `1m30s`, `500ms`."""
    return str(durationpy.to_str(value))


def seconds(value: float) -> str:
    """A measured time for people, three significant digits: `1.23 s`, `45.6 ms`, `0.12 ms`."""
    if math.isinf(value):
        return "never"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"


def share(value: str | float, *, name: str = "share") -> float:
    """`"99%"` up to `"100%"`, or a float between 0 and 1, both excluded. Raises InvalidValue."""
    if isinstance(value, str):
        found = re.fullmatch(_NUMBER + r"\s*%", value.strip())
        if not found:
            raise InvalidValue(f'{name} is "{value}": write it with a percent sign, "99%", or as a number between 0 and 1')
        number = float(found[1]) / 100
        if not 0 < number <= 1:
            raise InvalidValue(f'{name} is "{value}": it lies above 0% and goes up to 100%')
        return number
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InvalidValue(f'{name} is {value!r}: a number lies between 0 and 1 (both excluded); for all requests write "100%"')
    return float(value)


def percentage(value: float, *, name: str = "percent") -> float:
    """0.0001 <= p <= 100, the steps that Envoy's fractions of a million allow. Raises InvalidValue."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidValue(f"{name} is {value!r}: give a number of percent, 0.0001 ... 100")
    if not 0.0001 <= value <= 100:
        hint = " (0 would inject nothing and everything would look well)" if value == 0 else ""
        raise InvalidValue(f"{name} is {value}: it lies between 0.0001 and 100{hint}")
    return float(value)


def probability(percent: float) -> float:
    """The probability Envoy really draws with: a whole numerator of a million, truncated as istiod does."""
    return int(percent * 10_000) / 1_000_000


def rate(value: str | float, *, name: str = "rate") -> float:
    """`"100/s"`, `"30/m"` or a number of requests per second. Raises InvalidValue."""
    if isinstance(value, str):
        found = re.fullmatch(_NUMBER + r"\s*/\s*(s|sec|second|m|min|minute)", value.strip())
        if not found:
            raise InvalidValue(f'{name} is "{value}": write "100/s" or "30/m"')
        number = float(found[1]) / (1 if found[2].startswith("s") else 60)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f'{name} is {value!r}: write "100/s", or a number of requests per second')
    else:
        number = float(value)
    if not 0 < number <= 100_000:
        raise InvalidValue(f"{name} is {value!r}: it lies above 0 and up to 100000 requests per second")
    return number


_BYTES = {"KiB": 1.0, "MiB": 1024.0, "GiB": 1024.0 * 1024}


def byte_rate(value: str, *, name: str = "rate") -> int:
    """`"64KiB/s"` -> 64: whole KiB per second, the unit of Envoy's response rate limit. Raises InvalidValue."""
    found = re.fullmatch(_NUMBER + r"\s*(KiB|MiB|GiB)/s", value.strip()) if isinstance(value, str) else None
    if not found:
        raise InvalidValue(f'{name} is {value!r}: write "64KiB/s" or "2MiB/s"')
    kib = float(found[1]) * _BYTES[found[2]]
    if kib < 1 or kib != int(kib):
        raise InvalidValue(f'{name} is "{value}": Envoy limits in whole KiB per second, at least 1KiB/s')
    return int(kib)
