"""Density-functional codes: GPAW, Quantum ESPRESSO, VASP; presets that know traps."""
