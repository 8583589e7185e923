"""Crystals as pictures: SVG without scripts, for Jupyter and for reports.

Balls have half the covalent radius, sticks join atoms that touch. Colours are Jmol's,
changed only where two elements in one picture would look alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from matdisco.properties import get

if TYPE_CHECKING:
    from matdisco.crystal import Crystal

ON_FACE = 0.02
"""Fractional distance to a face of the cell within which an atom is drawn on the
opposite face too."""
TOUCHING = 1.25
"""Distance over the sum of covalent radii up to which two atoms may be joined; in
fcc metals the nearest neighbours are at 1.0 to 1.2."""
SHELL = 1.12
"""Distance over that of the nearest neighbour up to which an atom is joined: less than
the second shell of bcc, 1.155."""
MOST_ATOMS = 400
"""Above this many, images on faces and sticks are left out."""
ALIKE = 38.0
"""CIELAB distance under which two colours are hard to tell apart as small balls."""
# M. Okabe and K. Ito, "Color Universal Design" (2008)
DISTINCT = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn: atoms with their images on faces, sticks, the cell."""

    cell: np.ndarray
    """Cell vectors as rows, Å, shape (3, 3)."""
    positions: np.ndarray
    """Cartesian positions, Å, origin at the cell's middle, shape (n, 3)."""
    species: tuple[str, ...]
    """Element of each atom."""
    bonds: tuple[tuple[int, int], ...]
    """Pairs of touching atoms."""
    colours: Mapping[str, str]
    """Element to ``#rrggbb``."""
    radii: Mapping[str, float]
    """Element to radius of its ball, Å."""

    @classmethod
    def of(cls, crystal: Crystal, elements: Sequence[str] | None = None) -> Scene:
        """Lay a crystal out.

        Args:
            crystal: what to draw; of a shared site the main species is shown.
            elements: all elements that must be told apart, where several pictures
                stand side by side; the crystal's own when not given.
        """
        cell = np.array(crystal.structure.lattice.matrix)
        own = [_main_species(site) for site in crystal.structure]
        fractional = np.array(crystal.structure.frac_coords) % 1.0
        places, species = [], []
        for point, symbol in zip(fractional, own, strict=True):
            for shift in _images(point) if len(own) <= MOST_ATOMS else [np.zeros(3)]:
                places.append(point + shift)
                species.append(symbol)
        positions = (np.array(places) - 0.5) @ cell
        names = tuple(sorted({*own, *(elements or ())}))
        return cls(
            cell,
            positions,
            tuple(species),
            _touching(positions, species),
            palette(names),
            {e: 0.5 * _covalent_radius(e) for e in names},
        )

    @property
    def edges(self) -> np.ndarray:
        """The cell's 12 edges, shape (12, 2, 3)."""
        corners = np.array(list(product((-0.5, 0.5), repeat=3)))
        pairs = [
            (a, b)
            for a in range(8)
            for b in range(a + 1, 8)
            if np.count_nonzero(corners[a] != corners[b]) == 1
        ]
        edges: np.ndarray = np.array([corners[list(p)] for p in pairs]) @ self.cell
        return edges

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a viewer in a browser."""
        names = sorted(set(self.species))
        index = {e: i for i, e in enumerate(names)}
        return {
            "atoms": [
                [*np.round(p, 3).tolist(), index[s]]
                for p, s in zip(self.positions, self.species, strict=True)
            ],
            "bonds": [list(b) for b in self.bonds],
            "cell": np.round(self.cell, 4).tolist(),
            "edges": np.round(self.edges, 3).tolist(),
            "elements": [
                {"symbol": e, "colour": self.colours[e], "radius": self.radii[e]}
                for e in names
            ],
        }


def crystal_svg(
    crystal: Crystal, size: int = 220, elements: Sequence[str] | None = None
) -> str:
    """Draw a crystal as an SVG of ``size`` pixels, seen slightly from above.

    Args:
        crystal: what to draw.
        size: width and height, pixels.
        elements: see :meth:`Scene.of`.
    """
    scene = Scene.of(crystal, elements)
    turned = scene.positions @ _VIEW.T
    edges = scene.edges @ _VIEW.T
    reach = max(
        float(np.abs(edges[..., :2]).max()),
        max(
            float(np.abs(p[:2]).max()) + scene.radii[s]
            for p, s in zip(turned, scene.species, strict=True)
        ),
    )
    scale = 0.48 * size / reach
    depth = edges[..., 2]
    far, near = float(depth.min()) - 0.5, float(depth.max()) + 0.5

    def at(point: np.ndarray) -> tuple[float, float]:
        return size / 2 + scale * point[0], size / 2 - scale * point[1]

    def fog(z: float) -> float:
        return float(np.clip(0.45 * (near - z) / (near - far), 0.0, 0.45))

    shapes: list[tuple[float, str]] = []
    for start, end in edges:
        # short pieces, so that an edge can pass before one atom and behind another
        for a, b in pairwise(_CUTS):
            p, q = start + a * (end - start), start + b * (end - start)
            z = float(p[2] + q[2]) / 2
            shapes.append((z, _line(at(p), at(q), _faded("#4a5568", fog(z)), 1.1)))
    for i, j in scene.bonds:
        p, q = turned[i], turned[j]
        z = float(p[2] + q[2]) / 2
        width = max(1.5, 0.16 * scale)
        shapes.append((z, _line(at(p), at(q), _faded("#a0aec0", fog(z)), width)))
    for p, s in zip(turned, scene.species, strict=True):
        colour = _faded(scene.colours[s], fog(float(p[2])))
        shapes.append((float(p[2]), _ball(*at(p), scale * scene.radii[s], colour)))
    shapes.sort(key=lambda s: s[0])
    label = escape(f"Unit cell of {crystal.formula}, {crystal.n_atoms} atoms")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" '
        f'viewBox="0 0 {size} {size}" role="img" aria-label="{label}">'
        + "".join(s for _, s in shapes)
        + "</svg>"
    )


def crystal_html(crystal: Crystal) -> str:
    """Return HTML that shows a crystal in a notebook: picture, cell and labels."""
    lattice = crystal.structure.lattice
    rows = [
        ("Cell", " × ".join(f"{v:.3f}" for v in lattice.abc) + " Å"),
        ("Angles", ", ".join(f"{v:.1f}°" for v in lattice.angles)),
        ("Atoms", f"{crystal.n_atoms} in {lattice.volume:.2f} Å³"),
    ]
    for key, label in crystal.labels.items():
        spread = f" ± {label.sigma:.2g}" if label.sigma is not None else ""
        method = f" ({label.method})" if label.method else ""
        text = f"{label.value:.4f}{spread} {label.unit}{method}"
        rows.append((get(key).label, text))
    if crystal.source.get("prototype"):
        rows.append(("Structure type", str(crystal.source["prototype"])))
    table = "".join(
        f'<tr><th scope="row" style="text-align:left;padding-right:1em">{escape(k)}'
        f'</th><td style="text-align:left">{escape(v)}</td></tr>'
        for k, v in rows
    )
    return (
        '<div style="display:flex;gap:1.5em;align-items:center;flex-wrap:wrap">'
        f"<figure style='margin:0;background:#fff;padding:4px'>{crystal_svg(crystal)}"
        f"<figcaption style='text-align:center;color:#1a202c'>{legend(crystal)}"
        "</figcaption></figure>"
        f'<div><div style="font-size:1.3em">{formula_html(crystal.formula)}</div>'
        f'<code>{escape(crystal.id)}</code><table style="margin-top:.5em">{table}'
        "</table></div></div>"
    )


def legend(crystal: Crystal, elements: Sequence[str] | None = None) -> str:
    """Return one coloured dot and symbol for each element, as HTML."""
    colours = palette(tuple(sorted({*crystal.elements, *(elements or ())})))
    return " ".join(
        f'<span style="white-space:nowrap"><span aria-hidden="true" style="display:'
        f"inline-block;width:.8em;height:.8em;border-radius:50%;border:1px solid #444;"
        f'background:{colours[e]}"></span> {e}</span>'
        for e in crystal.elements
    )


def formula_html(formula: str) -> str:
    """Return a formula with its numbers as subscripts.

    >>> formula_html("Al2O3")
    'Al<sub>2</sub>O<sub>3</sub>'
    """
    out, number = "", ""
    for sign in [*formula, ""]:
        if sign.isdigit() or (sign == "." and number):
            number += sign
            continue
        out += f"<sub>{number}</sub>" if number else ""
        out, number = out + escape(sign), ""
    return out


def palette(elements: Sequence[str]) -> dict[str, str]:
    """Return one colour per element, Jmol's unless too like an earlier element's."""
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors

    chosen: dict[str, str] = {}
    for element in sorted(set(elements), key=lambda e: int(atomic_numbers.get(e, 0))):
        z = int(atomic_numbers.get(element, 0))
        colour = "#808080"
        if 0 < z < len(jmol_colors):
            colour = "#" + "".join(f"{round(255 * v):02x}" for v in jmol_colors[z])
        if _distance(colour, chosen.values()) < ALIKE:
            free = [c for c in DISTINCT if c not in chosen.values()]
            colour = next(
                (c for c in free if _distance(c, chosen.values()) >= ALIKE), colour
            )
        chosen[element] = colour
    return chosen


def _rotation(turn: float, tilt: float) -> np.ndarray:
    """Turn about z, then tip the z axis up in the picture; degrees."""
    a, b = np.radians([turn, tilt])
    about_z = np.array(
        [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    result: np.ndarray = about_x @ about_z
    return result


_VIEW = _rotation(-22.0, -72.0)
_CUTS = np.linspace(0, 1, 9)


def _images(point: np.ndarray) -> list[np.ndarray]:
    shifts = [
        (0.0, 1.0) if f < ON_FACE else (0.0, -1.0) if f > 1 - ON_FACE else (0.0,)
        for f in point
    ]
    return [np.array(s) for s in product(*shifts)]


def _touching(
    positions: np.ndarray, species: Sequence[str]
) -> tuple[tuple[int, int], ...]:
    if len(positions) > MOST_ATOMS:
        return ()
    radii = np.array([_covalent_radius(s) for s in species])
    gap = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(gap, np.inf)
    nearest = gap.min(axis=1, initial=np.inf)
    close = gap < TOUCHING * (radii[:, None] + radii[None])
    close &= gap < SHELL * np.maximum(nearest[:, None], nearest[None])
    first, second = np.nonzero(np.triu(close, k=1))
    return tuple(zip(first.tolist(), second.tolist(), strict=True))


def _covalent_radius(symbol: str) -> float:
    """Return the covalent radius in Å (B. Cordero et al., Dalton Trans. 2832, 2008)."""
    from ase.data import atomic_numbers, covalent_radii

    return float(covalent_radii[atomic_numbers.get(symbol, 0)])


def _main_species(site: Any) -> str:
    kinds = site.species.items()
    name = max(kinds, key=lambda pair: pair[1])[0]
    return str(getattr(name, "symbol", name))


def _line(
    a: tuple[float, float], b: tuple[float, float], colour: str, width: float
) -> str:
    return (
        f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" '
        f'stroke="{colour}" stroke-width="{width:.1f}" stroke-linecap="round"/>'
    )


def _ball(x: float, y: float, r: float, colour: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{colour}" '
        f'stroke="{_mixed(colour, "#000000", 0.45)}" stroke-width=".8"/>'
        f'<circle cx="{x - 0.3 * r:.1f}" cy="{y - 0.32 * r:.1f}" r="{0.38 * r:.1f}" '
        'fill="#fff" fill-opacity=".45"/>'
    )


def _faded(colour: str, share: float) -> str:
    return _mixed(colour, "#ffffff", share)


def _mixed(colour: str, other: str, share: float) -> str:
    mixed = (1 - share) * _rgb(colour) + share * _rgb(other)
    return "#" + "".join(f"{round(255 * float(v)):02x}" for v in mixed)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def _lab(colour: str) -> np.ndarray:
    """Return CIELAB coordinates of an sRGB colour (D65; IEC 61966-2-1, CIE 15)."""
    rgb = _rgb(colour)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    t = to_xyz @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _distance(colour: str, others: Any) -> float:
    return min(
        (float(np.linalg.norm(_lab(colour) - _lab(o))) for o in others), default=np.inf
    )
