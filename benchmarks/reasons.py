"""Why one network is faster than another on this machine: both profiles side by side, and sentences computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.layers import KINDS, Layer, Share, by_kind, total
from benchmarks.measure import Spread
from seg.document import Block, Table, Text
from seg.document.words import listed

# They mostly move data; their time doesn't shrink with a network's multiply-adds.
_WITHOUT_ARITHMETIC = ("input", "squeeze-and-excite", "element-wise", "reorder", "upsampling", "other")
_NOTEWORTHY = 0.04  # of the larger network's time; smaller differences between two kinds are not mentioned


@dataclass(frozen=True)
class Pair:
    """Two networks that the paper compares.

    Attributes:
        slow, fast: their names, such as "row 1" and "row 7".
        published_ratio: time of the fast one divided by that of the slow one, on the phone; None if the paper has no figure.
        measured_ratio: the same here, for the network alone.
        slow_layers, fast_layers: their profiles here.
        peak_gmacs: speed of a matrix product on this machine, in 10^9 multiply-adds per second.
    """

    slow: str
    fast: str
    published_ratio: float | None
    measured_ratio: Spread
    slow_layers: Sequence[Layer]
    fast_layers: Sequence[Layer]
    peak_gmacs: float

    @property
    def macs_ratio(self) -> float:
        """Multiply-adds of the fast network divided by those of the slow one."""
        return total(self.fast_layers).macs / total(self.slow_layers).macs


def less(ratio: float) -> str:
    """Returns 0.66 as "34.0 % less" and 1.05 as "5.0 % more"."""
    return f"{100 * abs(1 - ratio):.1f} % {'less' if ratio <= 1 else 'more'}"


def three_digits(value: float) -> str:
    """Returns a number with about three digits."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 1 else 2}f}"


def explain(pair: Pair) -> list[Block]:
    """Returns the reasons as sentences, then the two profiles as a table."""
    return [Text(" ".join([_pace(pair), _savings(pair), _slow_kinds(pair)])), kinds_table(
        [(pair.slow, pair.slow_layers), (pair.fast, pair.fast_layers)])]


def kinds_table(profiles: Sequence[tuple[str, Sequence[Layer]]]) -> Table:
    """Returns time, share, multiply-adds and speed by kind of layer, networks side by side."""
    shares = [(name, by_kind(layers), total(layers)) for name, layers in profiles]
    head = ["layers"]
    for name, _, _ in shares:
        head += [f"{name}: ms", "share", "GMACs", "GMAC/s"]
    rows = [[kind, *(cell for _, kinds, whole in shares for cell in _cells(kinds.get(kind), whole))]
            for kind in KINDS if any(kind in kinds for _, kinds, _ in shares)]
    return Table.of(head, rows, total=["all", *(cell for _, _, whole in shares for cell in _cells(whole, whole))])


def _cells(share: Share | None, whole: Share) -> list[str]:
    if share is None:
        return ["–"] * 4
    arithmetic = [f"{share.macs / 1e9:.2f}", f"{share.gmacs_per_s:.1f}"] if share.macs > 1e-3 * whole.macs else ["–", "–"]
    return [three_digits(share.time_ms), f"{share.time_ms / whole.time_ms:.0%}".replace("%", " %"), *arithmetic]


def _pace(pair: Pair) -> str:
    """Compares how much time the saved arithmetic saves, here and on the phone."""
    here, phone = pair.measured_ratio, pair.published_ratio
    fewer = less(pair.macs_ratio).replace("less", "fewer")
    text = f"{pair.fast.capitalize()} has {fewer} multiply-adds in its convolutions than {pair.slow}. "
    pace_here = f"{pair.macs_ratio / here.median:.2f} times"
    if phone is None:
        return text + (f"This machine takes {less(here.median)} time for it: it does them at {pace_here} the speed of "
                       f"{pair.slow}'s.")
    if here.q25 <= phone <= here.q75:
        verdict = "the same within the spread"
    else:
        verdict = f"{'more' if here.median < phone else 'less'} of the saved arithmetic becomes saved time here"
    return text + (f"The phone takes {less(phone)} time for it, this machine {less(here.median)}: {verdict}. The phone does "
                   f"{pair.fast}'s multiply-adds at {pair.macs_ratio / phone:.2f} times the speed of {pair.slow}'s, this "
                   f"machine at {pace_here}.")


def _savings(pair: Pair) -> str:
    """Says which kinds of layers save time, and which cost time."""
    slow, fast = by_kind(pair.slow_layers), by_kind(pair.fast_layers)
    nothing = Share(0.0, 0, 0)
    saved = {kind: slow.get(kind, nothing).time_ms - fast.get(kind, nothing).time_ms for kind in KINDS}
    least = _NOTEWORTHY * total(pair.slow_layers).time_ms
    gains = sorted((kind for kind in KINDS if saved[kind] >= least), key=lambda kind: -saved[kind])
    costs = sorted((kind for kind in KINDS if saved[kind] <= -least), key=lambda kind: saved[kind])
    whole = sum(saved.values())
    text = f"In the profile {pair.fast} {'saves' if whole >= 0 else 'costs'} {three_digits(abs(whole))} ms"
    if gains:
        text += f": {listed(f'{kind} saves {three_digits(saved[kind])}' for kind in gains)}"
    if costs:
        text += f"{';' if gains else ':'} {listed(f'{kind} costs {three_digits(-saved[kind])} more' for kind in costs)}"
    return text + "."


def _slow_kinds(pair: Pair) -> str:
    """Says which convolutions are slowest for their arithmetic, and how much time is spent without arithmetic."""
    fast, whole = by_kind(pair.fast_layers), total(pair.fast_layers)
    paces = {kind: share.gmacs_per_s for kind, share in fast.items()
             if kind not in _WITHOUT_ARITHMETIC and share.macs > 0.01 * whole.macs}
    parts = []
    if len(paces) > 1:
        fastest = max(paces, key=lambda kind: paces[kind])
        dearest = max(set(paces) - {fastest}, key=lambda kind: fast[kind].time_ms - fast[kind].macs / paces[fastest] / 1e6)
        share = fast[dearest]
        parts.append(f"In {pair.fast} {dearest} runs at {paces[dearest]:.1f} GMAC/s and {fastest} at {paces[fastest]:.1f}, of "
                     f"{pair.peak_gmacs:.1f} that a matrix product reaches here: {dearest} is {share.macs / whole.macs:.0%} of "
                     f"the multiply-adds and {share.time_ms / whole.time_ms:.0%} of the time.")
    idle = [sum(share.time_ms for kind, share in by_kind(layers).items() if kind in _WITHOUT_ARITHMETIC) / total(layers).time_ms
            for layers in (pair.fast_layers, pair.slow_layers)]
    parts.append(f"Layers with hardly any multiplication ({listed(kind for kind in _WITHOUT_ARITHMETIC if kind in fast)}) take "
                 f"{idle[0]:.0%} of {pair.fast}'s time and {idle[1]:.0%} of {pair.slow}'s.")
    return " ".join(parts).replace("%", " %")
