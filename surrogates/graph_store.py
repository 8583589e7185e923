"""Graphs in memory by structure hash, so that a pool is built once, not per round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matdisco.crystal import Crystal
from surrogates.graphs import PackedGraphs, pack
from surrogates.networks.kinds import GraphForm


class GraphStore:
    """Builds each crystal's graph once.

    Args:
        neighbours: as in :func:`pack`.
        cutoff: as in :func:`pack`.
        form: as in :func:`pack`.
        limit: graphs kept at most; the store starts afresh beyond it.
    """

    def __init__(
        self,
        *,
        neighbours: int | None,
        cutoff: float,
        form: GraphForm = "merged",
        limit: int = 200_000,
    ) -> None:
        self._limit = limit
        self._pack = partial(pack, neighbours=neighbours, cutoff=cutoff, form=form)
        self._rows: dict[str, int] = {}
        self._packs: list[PackedGraphs] = []

    def get(self, crystals: Sequence[Crystal]) -> PackedGraphs:
        """Return the graphs of ``crystals``, building those not seen before."""
        if len(self._rows) > self._limit:
            self._rows, self._packs = {}, []
        fresh = {
            c.structure_hash: c for c in crystals if c.structure_hash not in self._rows
        }
        if fresh:
            built = self._pack(list(fresh.values()))
            self._rows.update(zip(fresh, range(len(self._rows), 10**12), strict=False))
            self._packs = [PackedGraphs.concatenate([*self._packs, built])]
        if not crystals:
            return self._pack([])
        return self._packs[0].take([self._rows[c.structure_hash] for c in crystals])


_STORES: dict[tuple[int | None, float, GraphForm], GraphStore] = {}


def shared_store(
    *, neighbours: int | None, cutoff: float, form: GraphForm = "merged"
) -> GraphStore:
    """Return this process's store for one kind of graph."""
    key = (neighbours, cutoff, form)
    if key not in _STORES:
        _STORES[key] = GraphStore(neighbours=neighbours, cutoff=cutoff, form=form)
    return _STORES[key]
