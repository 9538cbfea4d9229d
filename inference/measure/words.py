"""Figures as people read them."""


def per_second(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 10 else f"{value:.2g}"


def percent(share: float) -> str:
    """Two digits that say something; never 0 % for what is not nothing."""
    value = share * 100
    if value == 0:
        return "0 %"
    if value < 0.01:
        return "< 0.01 %"
    if value < 1:
        return f"{value:.2f} %"
    return f"{value:.1f} %" if value < 99.95 else "100 %"


def latency(seconds: float) -> str:
    """As exact as the buckets are, and no more."""
    if seconds >= 1:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.2g} ms"
