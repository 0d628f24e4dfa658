"""The notebooks run top to bottom on the embedded default, and show what they did when committed.

`python tests/test_notebooks.py` runs them anew and writes their outputs.
"""

import ast
import os
import sys
import tempfile
from base64 import b64decode
from pathlib import Path

import pytest

TREE = Path(__file__).parents[1]
NOTEBOOKS = sorted((TREE / "notebooks").glob("*.ipynb"))
LOGIC = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.For, ast.While, ast.If, ast.IfExp, ast.Try, ast.With),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
SLOW = ("05_training",)
"""Notebooks that take half a minute."""
LARGEST_PICTURE = 150_000
"""Bytes; a code host shows a notebook with several of these without delay."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tree(cell):
    """The syntax tree of a code cell, without its `%` commands."""
    lines = [line for line in cell.source.splitlines() if not line.startswith("%")]
    return ast.parse("\n".join(lines))


def run(path, folder):
    """Execute a notebook in `folder`, on the embedded default; the executed notebook.

    Without what libraries write to the standard error, and without times.
    """
    from nbclient import NotebookClient

    notebook = read(path)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    ours = {
        "PYTHONPATH": os.pathsep.join([str(TREE), os.environ.get("PYTHONPATH", "")]),
        "IPYTHONDIR": str(folder),  # no one's own configuration
        "SPIKEFINDER_CACHE": str(folder / "cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    environment = {**os.environ, **ours}
    environment.pop("SPIKEFINDER_DATA", None)
    client.execute(env=environment)
    for cell in code_cells(notebook):
        cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    # The versions of Python and of its parts are no part of the notebook.
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def kinds(cell):
    """What kinds of output a cell has: MIME types, or `stdout`."""
    return {kind for output in cell.outputs for kind in output.get("data", [output.get("name")])}


def shows_figure(cell):
    return cell.source.rstrip().endswith(".figure")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


def test_they_are_numbered():
    assert len(NOTEBOOKS) >= 5
    assert [path.name[:3] for path in NOTEBOOKS] == [
        f"{n:02d}_" for n in range(1, len(NOTEBOOKS) + 1)
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem)
        for path in NOTEBOOKS
    ],
)
def test_it_runs(path, folder):
    """An error in a cell raises; committed are outputs of the same kinds."""
    executed, committed = run(path, folder), read(path)
    assert list(map(kinds, code_cells(executed))) == list(map(kinds, code_cells(committed)))


@every_notebook
def test_its_outputs_are_committed(path):
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data", "execute_result")
            assert output.get("name", "stdout") == "stdout"
            picture = b64decode(output.get("data", {}).get("image/png", ""))
            assert len(picture) <= LARGEST_PICTURE
        if shows_figure(cell):
            assert "image/png" in cell.outputs[-1].data


@every_notebook
def test_nothing_in_it_tells_where_or_when_it_ran(path):
    notebook = read(path)
    assert notebook.nbformat == 4
    assert notebook.nbformat_minor == 5
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert str(Path.home()) not in text
            assert tempfile.gettempdir() not in text


@every_notebook
def test_it_holds_no_logic(path):
    for cell in code_cells(read(path)):
        for node in ast.walk(tree(cell)):
            assert not isinstance(node, LOGIC), ast.unparse(node)


@every_notebook
def test_its_prose_keeps_to_the_line_length(path):
    for cell in read(path).cells:
        assert max(map(len, cell.source.splitlines())) <= 100


def main():
    import nbformat

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as temporary:
            notebook = run(path, Path(temporary))
        nbformat.write(notebook, path)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
