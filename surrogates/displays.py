"""What a surrogate shows of itself in a notebook."""

from __future__ import annotations

from collections.abc import Mapping

from matdisco.displays import table_html


class ShowsItself:
    """Gives a class with ``describe()`` a table in a notebook."""

    def describe(self) -> Mapping[str, str]:
        """Return name → text."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        facts = dict(self.describe())
        kind = facts.pop("surrogate", type(self).__name__)
        rows = [(k.replace("_", " "), str(v)) for k, v in facts.items()]
        metrics = getattr(self, "metrics", None)
        if isinstance(metrics, Mapping):
            rows += [(f"held out, {k}", f"{v:.4g}") for k, v in metrics.items()]
        if "target" not in facts:
            rows.append(("state", "not fitted"))
        return table_html(rows, f"Surrogate {kind}")
