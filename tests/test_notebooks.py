"""Every notebook runs from top to bottom, shows what it says, and is kept clean."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
PACKAGES = ("matdisco", "surrogates", "campaigns")
MOST_CELLS = 15


def load(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def names(paths: list[Path]) -> list[str]:
    return [p.stem for p in paths]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_no_outputs_and_few_cells_in_git(path: Path) -> None:
    notebook = load(path)
    nbformat.validate(notebook)
    assert len(notebook.cells) < MOST_CELLS
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_only_public_names_are_imported(path: Path) -> None:
    code = "\n".join(c.source for c in load(path).cells if c.cell_type == "code")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            package = node.module.split(".")[0]
            if package in PACKAGES:
                assert not any(a.name.startswith("_") for a in node.names)
                module = __import__(node.module, fromlist=["__all__"])
                public = getattr(module, "__all__", [a.name for a in node.names])
                assert {a.name for a in node.names} <= set(public)


@pytest.fixture(scope="module")
def kernel() -> Iterator[NotebookClient]:
    """One kernel for all: each would import the same for as long as it computes."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=240)
    with client.setup_kernel():
        yield client


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_runs_from_top_to_bottom(
    path: Path, kernel: NotebookClient, tmp_path: Path
) -> None:
    notebook = load(path)
    # what the notebooks before have named is gone
    forget = nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {tmp_path}")
    notebook.cells.insert(0, forget)
    kernel.nb = notebook
    kernel.reset_execution_trackers()
    for index, cell in enumerate(notebook.cells):
        kernel.execute_cell(cell, index)
    shown = {kind for c in notebook.cells for kind in kinds(c)}
    assert "text/html" in shown
    if "plot_" in "".join(c.source for c in notebook.cells):
        assert "image/png" in shown


def kinds(cell: Any) -> set[str]:
    return {k for o in cell.get("outputs", []) for k in o.get("data", {})}
