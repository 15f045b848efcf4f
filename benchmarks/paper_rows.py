"""The networks of the paper's tables for the benchmark: each has an id and is built only once."""

from collections.abc import Sequence
from dataclasses import dataclass

from seg.errors import SegError, did_you_mean
from seg.models.network import SegmentationNetwork
from seg.models.paper import FULL_HW, FURTHER, HALF_HW, TABLE_7, TABLE_8, Network, Row

HEADLINES = (("1", "7"), ("4", "8"))  # the paper's comparisons: V2 with its decoder and V3 with its own, F = 256 and 128


@dataclass(frozen=True)
class Entry:
    """A network to build, and its names.

    Attributes:
        id: "1" to "11" for Table 7, "t8-1" to "t8-4" for Table 8, otherwise made from the label.
        network: builds it, and holds the paper's figures if it is a row of a table.
        in_table_7: whether its published accuracy is on val.
    """

    id: str
    network: Network
    in_table_7: bool = False

    @property
    def row(self) -> Row | None:
        """The paper's figures, if the paper has any."""
        return self.network if isinstance(self.network, Row) else None

    def published_s(self, size_hw: tuple[int, int]) -> float | None:
        """Returns the seconds per frame on the phone, if the paper has them."""
        if self.row is None:
            return None
        return {FULL_HW: self.row.cpu_full_s, HALF_HW: self.row.cpu_half_s}.get(size_hw)

    def name(self) -> str:
        """Returns for example "row 7"; for networks outside Table 7 the label."""
        return f"row {self.id}" if self.in_table_7 else self.network.label


def all_entries() -> list[Entry]:
    """Returns every network of Table 7 and Table 8, and those that the paper builds on."""
    entries = [Entry(str(row.number), row, in_table_7=True) for row in TABLE_7]
    entries += [Entry(f"t8-{row.number}", row) for row in TABLE_8]
    return entries + [Entry(network.label.lower().removesuffix(" rf2").replace(" ", "-"), network) for network in FURTHER]


def choose(ids: Sequence[str]) -> list[Entry]:
    """Returns the entries with these ids, in the tables' order, each once; all for no ids.

    Raises:
        SegError: an id is unknown; the message lists similar ones.
    """
    entries = all_entries()
    known = [entry.id for entry in entries]
    for wanted in ids:
        if wanted not in known:
            raise SegError(f"There is no row {wanted!r}. {did_you_mean(wanted, known)}")
    return [entry for entry in entries if entry.id in ids or not ids]


def first_alike(networks: dict[str, SegmentationNetwork]) -> dict[str, str]:
    """Returns for each id the first id with the same network: the two tables share some networks, which are timed once."""
    first: dict[str, str] = {}
    for id, network in networks.items():
        same = (other for other in first.values()
                if type(networks[other]) is type(network) and networks[other].arguments == network.arguments)
        first[id] = next(same, id)
    return first

