"""Entry: one input record on its way through curation, with what was found on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from matdisco.crystal import Crystal, Label
from matdisco.data.curation.declared import declared, stated_energy
from matdisco.data.packed import described
from matdisco.data.readers.base import LIMITS, Finding, RawRecord, Severity
from matdisco.properties import convert

SEVERITIES: tuple[Severity, ...] = ("reject", "quarantine", "mend", "note")
"""Worst first. *reject*: unusable. *quarantine*: kept aside with the evidence, for a
person to decide. *mend*: corrected, and said so. *note*: worth knowing, unchanged."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One input record and everything that curation learnt about it."""

    id: str
    """The record's own name, made unique later."""
    crystal: Crystal | None
    """The structure; None for a table row that names a material only."""
    labels: Mapping[str, Label]
    """Property key to value, also where there is no crystal."""
    declared: Mapping[str, Any] = field(default_factory=dict)
    """What the source says about itself: formula, volume (Å³), n_atoms, z,
    space_group, material_id, date; and values that are only limits."""
    path: str = ""
    """The file."""
    member: str | None = None
    """The file inside an archive."""
    record: int = 0
    """Its number in the file, from 0."""
    format: str = ""
    """What the reader took it for."""
    byte_hash: str = ""
    """SHA-256 of the file."""
    findings: tuple[Finding, ...] = ()
    """In the order in which they were made."""

    @classmethod
    def of(cls, raw: RawRecord) -> Entry:
        """Take over what a reader yielded."""
        crystal = raw.crystal
        source = crystal.source if crystal else {}
        known = declared({**source, **raw.fields})
        if isinstance(limits := raw.fields.get(LIMITS), Mapping):
            known[LIMITS] = dict(limits)
        findings = raw.findings
        if crystal is None and ("formula" in known or "material_id" in known):
            # A table row that names its material: it may find its structure later.
            findings = tuple(f for f in findings if f.rule != "no-structure")
        own = raw.fields.get("id")
        labels = dict(raw.labels or (crystal.labels if crystal else {}))
        energy = stated_energy(raw.fields)
        if crystal is not None and energy and "energy" not in labels:
            name, value, unit = energy
            value = convert(value, unit, "eV")
            labels["energy"] = Label(value, "eV")
            labels["energy_per_atom"] = Label(value / crystal.n_atoms, "eV/atom")
            text = f"{name} taken for the total energy in {unit}: {value:.6f} eV"
            findings = (*findings, Finding("named-energy", "mend", text))
        return cls(
            id=str(own) if own else crystal.id if crystal else _name(raw),
            crystal=crystal,
            labels=labels,
            declared=known,
            path=raw.path,
            member=raw.member,
            record=raw.record,
            format=raw.format,
            byte_hash=raw.byte_hash,
            findings=findings,
        )

    @property
    def verdict(self) -> Severity | None:
        """The worst severity found, or None."""
        have = {f.severity for f in self.findings}
        return next((s for s in SEVERITIES if s in have), None)

    @property
    def usable(self) -> bool:
        """Whether nothing on it says reject or quarantine."""
        return self.verdict not in ("reject", "quarantine")

    @property
    def where(self) -> str:
        """Path, archive member and record as a person would point at it."""
        inside = f"!{self.member}" if self.member else ""
        return f"{self.path}{inside}#{self.record}"

    @property
    def formula(self) -> str:
        """The crystal's reduced formula, else the declared one, else empty."""
        if self.crystal:
            return self.crystal.formula
        return str(self.declared.get("formula", ""))

    def found(self, rule: str, severity: Severity, message: str) -> Entry:
        """Return a copy with one finding more."""
        return replace(
            self, findings=(*self.findings, Finding(rule, severity, message))
        )

    def with_crystal(self, crystal: Crystal) -> Entry:
        """Return a copy around another structure."""
        return replace(self, crystal=crystal)

    def with_labels(self, labels: Mapping[str, Label]) -> Entry:
        """Return a copy with exactly these labels."""
        return replace(self, labels=dict(labels))

    def final_crystal(self, name: str) -> Crystal:
        """Return the crystal as the dataset will hold it: its id, labels, lineage."""
        assert self.crystal is not None, "only entries with a structure reach a dataset"
        lineage = {
            "path": self.path,
            "member": self.member,
            "record": self.record,
            "byte_hash": self.byte_hash,
        }
        stated = {
            k: v
            for k, v in self.crystal.source.items()
            if k not in ("file", "record", "byte_hash")  # they stand in the lineage
        }
        if "lineage" in stated and self.format == "crystal":  # of an earlier version
            source = stated
        else:
            source = {**stated, "lineage": [lineage]}
        if LIMITS in self.declared:
            source[LIMITS] = self.declared[LIMITS]
        return described(
            self.crystal, name=name, labels=dict(self.labels), source=source
        )


def _name(raw: RawRecord) -> str:
    inside = f"!{raw.member}" if raw.member else ""
    return f"{raw.path}{inside}#{raw.record}"
