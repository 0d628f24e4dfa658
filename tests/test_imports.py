"""Data flows one way, and imports follow it: read, prepare, network, predict, score, figure."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[1] / "spikefinder_keras"

# Each module may import from those above it in this list.
ORDER = [
    "errors",
    "constants",
    "files",
    "confinement",
    "child",
    "hdf5_arrays",
    "datasets",
    "preprocess",
    "recordings",
    "formats.hdf5",
    "formats.description",
    "formats.arrays",
    "formats.pickled",
    "formats.suite2p",
    "formats.caiman",
    "formats.nwb",
    "formats.numpy_files",
    "formats.matlab",
    "formats.csv_table",
    "formats.zarr_store",
    "formats.pynapple_frame",
    "formats",
    "terminal",
    "preparation",
    "ground_truth",
    "trust",
    "sources",
    "download",
    "simulation",
    "published",
    "batches",
    "traces",
    "recurrent",
    "network",
    "losses",
    "weights",
    "calibration",
    "scoring",
    "prediction",
    "own_recordings",
    "fit_calibration",
    "figures",
    "report",
    "diagram",
    "training",
    "competition",
    "gallery",
    "__init__",
    "cli",
    "__main__",
]


def module_name(path):
    """`formats.nwb` of `formats/nwb.py`, `formats` of its `__init__.py`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(module):
    """Modules of the package that a module imports anywhere in its text."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].relative_to(PACKAGE).parts
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (".".join([*folder, name]) for name in names)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_never_turn_back(module):
    assert module in ORDER, f"give {module} its place in the order above"
    for other in imported(module):
        if other != "__version__":
            assert ORDER.index(other) < ORDER.index(module), f"{module} imports {other}"


@pytest.mark.parametrize(
    "statement",
    [
        "import spikefinder_keras.cli",
        "from spikefinder_keras import score, read_csv, simulate, fetch_data",
        "from spikefinder_keras.cli import main; main(['score'])",
    ],
)
def test_tensorflow_loads_only_for_a_network(statement):
    code = f"{statement}; import sys; sys.exit('keras' in sys.modules or 'jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there():
    """Also once all modules are loaded: none has the name of a public function."""
    import spikefinder_keras

    for module in ORDER[:-3]:
        import_module(f"spikefinder_keras.{module}")
    for name in spikefinder_keras.__all__:
        value = getattr(spikefinder_keras, name)
        assert value.__doc__
        assert not isinstance(value, ModuleType), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        spikefinder_keras.nonsense  # noqa: B018
