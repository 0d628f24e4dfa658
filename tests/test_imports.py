"""The order of the rooms: imports go downwards only, from room to room and inside a room."""

import ast
import inspect
import pickle
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import spikefinder_keras

PACKAGE = Path(spikefinder_keras.__file__).parent

# Each room may import from those behind it in this list; the ground is everybody's.
ROOMS = [
    "__main__", "cli", "training", "view", "figures", "recordings", "competition", "simulation",
    "network", "files", "signals",
]  # fmt: skip
GROUND = ["keras_backend", "console", "datasets", "errors", "labels", "text", "constants", "arrays"]
PUBLIC = "__init__"
"""The package itself, which looks up its public names when they are used."""


def module_name(path):
    """`recordings.formats.nwb` of its file, `network` of its `__init__.py`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(module):
    """Modules of the package that a module imports anywhere in its text."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].relative_to(PACKAGE).parts
            base = ".".join([*folder, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}".lstrip(".")
                yield name if name in MODULES else base or PUBLIC


def room(module):
    return module.split(".")[0]


def test_every_module_has_its_room():
    assert {room(module) for module in MODULES} == {*ROOMS, *GROUND, PUBLIC}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downwards(module):
    order = [*ROOMS, PUBLIC, *GROUND]  # all may ask for the version
    for other in imported(module):
        assert other in MODULES
        if room(other) != room(module):
            assert order.index(room(module)) < order.index(room(other)), f"it imports {other}"


def test_no_two_modules_import_each_other():
    """Also inside a room, and inside functions."""
    graph = {module: {m for m in imported(module) if m != module} for module in MODULES}
    TopologicalSorter(graph).prepare()


def test_one_module_alone_goes_through_the_front_door():
    """Methods of a prediction do what rooms above theirs offer to users."""
    through = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level and not node.module:
                folder = path.parents[node.level - 1]
                names = {alias.name for alias in node.names} - {"__version__"}
                if folder == PACKAGE and names - {module_name(each) for each in PACKAGE.glob("*")}:
                    through.setdefault(module, set()).update(names)
    assert through.keys() == {"recordings.recording"}
    assert through["recordings.recording"] == {
        "example_traces", "view_prediction", "write_prediction",
    }  # fmt: skip
    assert through["recordings.recording"] <= set(spikefinder_keras.__all__)


def test_keras_is_loaded_in_one_place():
    for module, path in MODULES.items():
        names = [
            alias.name if isinstance(node, ast.Import) else node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
            for alias in node.names
        ]
        loads = "keras" in {name.partition(".")[0] for name in names}
        assert not loads or module in ("keras_backend", "console"), module


def test_keras_says_nothing_and_is_asked_for_in_one_line():
    code = "from spikefinder_keras import build_network; build_network()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "from spikefinder_keras import errors\n"
        "try:\n    from spikefinder_keras import load_network\n"
        "except errors.UsageError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "spikefinder-keras[tensorflow]"' in run.stdout, run.stderr
    assert run.stdout.count("\n") == 1


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


def test_the_command_starts_without_numpy():
    """What a person waits for before a mistake or a help text is shown."""
    code = "import sys, spikefinder_keras.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_small_prediction_loads_no_slow_library(tmp_path):
    """Once the graph of the network is kept. SciPy is for longer recordings."""
    code = (
        "import sys; from spikefinder_keras import predict; import numpy as np\n"
        "predict(np.random.default_rng(0).normal(size=(2, 300)), 30.0)\n"
        "print({'h5py', 'scipy', 'pandas', 'onnx', 'ml_dtypes', 'matplotlib'} & {*sys.modules})\n"
    )
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stdout == b"set()\n"


def test_public_names_are_there():
    """Also once all modules are loaded: none has the name of what its package hands on."""
    packages = ["spikefinder_keras"]
    for module in MODULES:
        if module not in (PUBLIC, "__main__"):
            import_module(f"spikefinder_keras.{module}")
        if module in ROOMS[2:]:
            packages.append(f"spikefinder_keras.{module}")
    for package in map(import_module, packages):
        assert package.__all__
        for name in package.__all__:
            value = getattr(package, name)
            assert value.__doc__
            assert not isinstance(value, ModuleType), name
        with pytest.raises(AttributeError, match="nonsense"):
            package.nonsense  # noqa: B018


def functions():
    """Each public function, by where users of Python find it."""
    for module in ("", *(f".{name}" for name in ROOMS[2:])):
        package = import_module(f"spikefinder_keras{module}")
        for name in package.__all__:
            if inspect.isfunction(value := getattr(package, name)):
                yield f"{package.__name__}.{name}", value


def test_public_functions_go_to_other_processes():
    """As `multiprocessing` and joblib send them: by name."""
    for name, value in functions():
        assert pickle.loads(pickle.dumps(value)) is value, name


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("recordings.as_recording(np.ones((900, 3)))", r"state the orientation \(orientation\)"),
        ("recordings.choose_datasets(1, 'a', 'V1')", "dataset., or indicator and area, not both"),
        ("network.load_engine('universal', engine='no')", "^engine no"),
        ("submission('/nowhere')", r"holds spikefinder\.train \(data\)"),
        ("training.resume('/nowhere')", r"folder of one \(resume\)"),
        (
            "figures.predictions(ONE, None, ONE, neurons=[0], window=(5, 4))",
            "^window 5 4 is em",
        ),
        ("write_csv('/nowhere/a.csv', ONE, ['a', 'b'])", "cannot use these arguments .*names"),
        ("predict_calcium(ONE, 5, weights=7)", "cannot use these arguments .*weights"),
        ("score('true.csv', 'rates.csv')", "cannot use these arguments .*truth, prediction"),
        ("figures.save(figures.scores(['a'], [[1]]), 'a.xyz')", "'xyz' is not supported"),
        ("build_network(variant='x', taps=3, tips=4)", "build_network"),
    ],
)
def test_mistakes_in_python_name_its_parameters(statement, message):
    """Of every room's functions, whatever the mistake is."""
    rooms = {name: import_module(f"spikefinder_keras.{name}") for name in ROOMS[2:]}
    public = {name: getattr(spikefinder_keras, name) for name in spikefinder_keras.__all__}
    scope = {**rooms, **public, "np": np, "ONE": np.ones((900, 1))}
    with pytest.raises(spikefinder_keras.SpikefinderError, match=message) as caught:
        eval(statement, scope)
    assert "--" not in str(caught.value) and "\n" not in str(caught.value)
