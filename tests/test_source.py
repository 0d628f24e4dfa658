"""What the source may not say: bytes from elsewhere are read, and files are written, in `files/`.

The tree of each module is searched, not its text, so comments and docstrings are free.
"""

import ast
from pathlib import Path

import pytest

import spikefinder_keras

PACKAGE = Path(spikefinder_keras.__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}

UNPICKLER = "recordings/formats/pickled.py"
"""The one module that knows pickles; it looks nothing up."""

BANNED_MODULES = ("pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "cPickle")
BANNED_CALLS = (
    *("eval", "exec", "compile", "__import__", "input", "breakpoint"),
    *("system", "popen", "execv", "execvp", "spawnl", "fork"),
    *("load_model", "model_from_json", "deserialize_keras_object", "extractall", "unpack_archive"),
    *("enable_unsafe_deserialization", "read_pickle", "to_pickle", "urlopen", "urlretrieve"),
)
WRITERS = (
    *("write_text", "write_bytes", "to_csv", "to_json", "to_excel", "to_parquet", "tofile"),
    *("save", "savez", "savez_compressed", "savetxt", "savemat", "savefig", "save_weights"),
    *("touch", "mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "copyfile"),
    *("copy2", "move", "rename", "replace_file", "symlink_to", "hardlink_to", "rmtree", "unlink"),
)
SAFE_TARGETS = ("temporary", "file", "folder", "new", "old", "io", "buffer")
"""Names that hold a `whole_file`'s temporary path, a file opened on it, or what is in memory."""


def calls(path):
    """`(call, name)` of each call in a module: the last part of what is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else None
            yield node, name or getattr(function, "id", "")


PARSERS = ("File", "loadmat", "whosmat", "open_group", "open_array", "ZipFile", "Unpickler")
"""What opens a file that can take over, hang or swell the process."""
PLAIN_READERS = ("read_text", "read_bytes", "fromfile", "loadtxt", "genfromtxt")
READS_ITSELF = ("figures/recording_page.py", "view/drawing.py")
"""Modules that read what the package brings, such as a template."""
OF_OUR_OWN = {
    "recordings/sinks.py": "",
    "recordings/formats/writers.py": "store",
}
"""Modules, and where not all of it a part of a function's name, that open stores which this program
has made."""


def functions(path):
    """The functions of a module, and the methods of its classes."""
    top = ast.parse(path.read_text()).body
    methods = [method for each in top if isinstance(each, ast.ClassDef) for method in each.body]
    return [each for each in (*top, *methods) if isinstance(each, ast.FunctionDef)]


def is_sandboxed(function):
    """Whether it is marked as one that runs in the sandbox alone."""
    return any(getattr(each, "id", "") == "sandboxed" for each in function.decorator_list)


SANDBOXED = {
    (name, function.name)
    for name, path in MODULES.items()
    for function in functions(path)
    if is_sandboxed(function)
}
"""Module and name of what runs in the sandbox."""


def openings(name, path, sandboxed=SANDBOXED):
    """What opens a file of unknown origin outside the sandbox, or may open a pipe or a device."""
    found = []
    imported = imported_names(path)
    for function in functions(path):
        if is_sandboxed(function):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            values = [getattr(a, "value", a) for a in (*node.args, *node.keywords)]
            values = [getattr(value, "value", value) for value in values]
            own = called == "File" and isinstance(node.func, ast.Name)  # of `downloads`
            parser = called in PARSERS and "w" not in values and not own
            made = name in OF_OUR_OWN and OF_OUR_OWN[name] in function.name
            if parser and not made:
                found.append(f"{name}:{node.lineno} {called} in {function.name}")
            is_name = isinstance(node.func, ast.Name)
            if is_name and ((name, called) in sandboxed or imported.get(called) in sandboxed):
                found.append(f"{name}:{node.lineno} {called} runs in the sandbox alone")
            reads = called in PLAIN_READERS or (called == "open" and "rb" in values)
            if reads and name not in READS_ITSELF and not name.startswith("files/"):
                found.append(f"{name}:{node.lineno} {called}: see files/atomic.py")
    return found


def imported_names(path):
    """By its name here, module and name of what a module imports from another of the package."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            for name in MODULES:
                if name.endswith(f"{node.module.replace('.', '/')}.py"):
                    found |= {a.asname or a.name: (name, a.name) for a in node.names}
    return found


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_of_unknown_origin_is_opened_in_the_sandbox(name):
    assert openings(name, MODULES[name]) == []


@pytest.mark.parametrize(
    "line",
    ["h5py.File(path)", "loadmat(path)", "zarr.open_group(path)", "path.read_text()",
     "path.open('rb')", "open(path, 'rb')", "np.fromfile(path)", "parse_arrays(path)",
     "pickle.Unpickler(path)"],
)  # fmt: skip
def test_the_search_finds_openings(tmp_path, line):
    planted = tmp_path / "planted.py"
    planted.write_text(f"def read(path):\n    return {line}\n")
    marked = {("planted.py", "parse_arrays")}
    assert len(openings("planted.py", planted, marked)) == 1
    planted.write_text(f"@sandboxed\ndef read(path):\n    return {line}\n")
    assert openings("planted.py", planted, marked) == []


def test_what_runs_in_the_sandbox_is_marked():
    """As many functions as there are readers, so that the mark is no dead letter."""
    assert {
        ("network/weights.py", "parse_arrays"),
        ("recordings/formats/pickled.py", "load"),
    } < SANDBOXED


def names_in(node):
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def faults(name, path):
    """Each banned thing in a module, as text with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            for module in modules:
                if module.partition(".")[0] in BANNED_MODULES and name != UNPICKLER:
                    found.append((node.lineno, f"imports {module}"))
    for call, called in calls(path):
        is_method = isinstance(call.func, ast.Attribute)
        builtin = called in ("eval", "exec", "compile", "input")
        if called in BANNED_CALLS and not (builtin and is_method):
            found.append((call.lineno, f"calls {called}"))
        for keyword in call.keywords:
            value = getattr(keyword.value, "value", None)
            if keyword.arg in ("allow_pickle", "shell") and value is not False:
                found.append((call.lineno, f"{keyword.arg}={value}"))
        of_numpy = is_method and getattr(call.func.value, "id", "") == "np"
        if of_numpy and called == "load" and "allow_pickle" not in {k.arg for k in call.keywords}:
            found.append((call.lineno, "np.load without allow_pickle=False"))
        if name.startswith("files/"):
            continue
        if called == "print" and name not in ("console.py",):
            found.append((call.lineno, "prints; terminal.tell cleans what it prints"))
        targets = names_in(call)
        if called == "open":
            modes = [a.value for a in (*call.args, *(k.value for k in call.keywords)) if
                     isinstance(a, ast.Constant) and isinstance(a.value, str)]  # fmt: skip
            writes = any(set(mode) & set("wax+") and len(mode) <= 3 for mode in modes)
            if writes and not targets & set(SAFE_TARGETS):
                found.append((call.lineno, f"opens {ast.unparse(call)}"))
        # Ours, which write whole files; a library's are methods.
        own = called in ("save", "save_weights", "write_text") and not is_method
        if called in WRITERS and not own and not targets & set(SAFE_TARGETS):
            found.append((call.lineno, f"writes: {ast.unparse(call)[:80]}"))
    return [f"{name}:{line} {what}" for line, what in found]


ALLOWED = {"cli/__init__.py": "open(os.devnull"}
"""What a module may say all the same: here, to fill the place of a closed stream."""


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_banned(name):
    excuse = ALLOWED.get(name)
    found = [fault for fault in faults(name, MODULES[name]) if not (excuse and excuse in fault)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=choice)",
        "np.load(path)",
        "keras.models.load_model(path)",
        "eval(text)",
        "exec(text)",
        "archive.extractall(path)",
        "open(path, 'w')",
        "Path(path).open('ab')",
        "open(path, mode='r+')",
        "path.write_text(text)",
        "frame.to_csv(path)",
        "np.save(path, array)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "print(name)",
    ],
)
def test_the_search_finds_it(tmp_path, line):
    (tmp_path / "planted.py").write_text(line)
    assert len(faults("planted.py", tmp_path / "planted.py")) >= 1


def test_one_module_alone_asks_for_onnx_runtime_and_silences_it():
    asking = [
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and any(a.name == "onnxruntime" for a in node.names)
    ]
    assert asking == ["network/engine.py"]
