"""What is installed, and that the files which say so agree with each other."""

import configparser
import email
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from spikefinder_keras import __version__

TREE = Path(__file__).parents[1]
WHERE = (
    "import spikefinder_keras\n"
    "from spikefinder_keras.network.weights import EMBEDDED, find_weights\n"
    "print(spikefinder_keras.__file__)\n"
    "for name in EMBEDDED:\n"
    "    print(find_weights(name))\n"
)


@pytest.fixture(scope="module")
def setup():
    config = configparser.ConfigParser()
    config.read(TREE / "setup.cfg")
    return config


@pytest.fixture(scope="module")
def requirements(setup):
    lines = setup["options"]["install_requires"].split("\n")
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def python(setup):
    """The least Python version, as (3, 11)."""
    (version,) = re.fullmatch(r">=([\d.]+)", setup["options"]["python_requires"]).groups()
    return tuple(map(int, version.split(".")))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the tree, in which building leaves its traces."""
    copy = tmp_path_factory.mktemp("tree") / "a copy"
    unwanted = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "submission")
    shutil.copytree(TREE, copy, ignore=shutil.ignore_patterns(*unwanted))
    return copy


@pytest.fixture(scope="module")
def wheel(copy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # In an environment of its own where this one's setuptools is older than pyproject.toml asks.
    recent = int(metadata.version("setuptools").split(".")[0]) >= 77 if has_setuptools() else False
    isolation = ["--no-build-isolation"] if recent else []
    pip("wheel", "--no-deps", "--wheel-dir", folder, *isolation, copy)
    (path,) = folder.glob("*.whl")
    return path


def has_setuptools():
    return any(each.name == "setuptools" for each in metadata.distributions())


def pip(*arguments, **options):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr


def where(python, path, folder):
    """Where an installation, on `path` if one is given, has the package and the weights."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [python, "-c", WHERE], capture_output=True, text=True, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    package, *weights = map(Path, done.stdout.splitlines())
    return package, weights


# Files that must agree


def test_environment_yml_repeats_setup_cfg(requirements, python):
    import yaml

    dependencies = yaml.safe_load((TREE / "environment.yml").read_text())["dependencies"]
    (from_pip,) = (each["pip"] for each in dependencies if isinstance(each, dict))
    assert from_pip == [*requirements, '--editable ".[tensorflow]"']
    assert "python>=" + ".".join(map(str, python)) in dependencies
    assert {"pip", "make"} <= {each for each in dependencies if isinstance(each, str)}


def test_every_requirement_has_a_least_version(requirements):
    assert requirements
    for requirement in requirements:
        least = r"[a-z0-9_]+>=\d+(\.\d+)+(; sys_platform == \"linux\")?"
        assert re.fullmatch(least, requirement), requirement


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_is_one_that_refuses_crafted_files(setup, backend):
    lines = setup["options.extras_require"][backend].split()
    (keras,) = (line.removeprefix("keras>=") for line in lines if line.startswith("keras>="))
    assert tuple(map(int, keras.split("."))) >= (3, 15, 1)


def test_every_imported_library_is_required(requirements, setup):
    import ast

    imported = set()
    for path in (TREE / "spikefinder_keras").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    extras = setup["options.extras_require"]
    optional = {re.split(r"[>=\[]", line)[0] for key in extras for line in extras[key].split()}
    known = {requirement.split(">=")[0] for requirement in requirements} | optional
    assert imported - set(sys.stdlib_module_names) <= known | {"spikefinder_keras"}


def test_pyproject_names_the_build_backend():
    project = tomllib.loads((TREE / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "setuptools.build_meta"
    assert "project" not in project  # which setup.cfg describes


def test_the_dockerfile_runs_the_makefile(python):
    lines = (TREE / "Dockerfile").read_text().splitlines()
    (image,) = (line for line in lines if line.startswith("FROM"))
    version = re.fullmatch(r"FROM python:(\d+\.\d+\.\d+)-slim-bookworm", image)[1]
    assert tuple(map(int, version.split("."))) >= python
    assert "RUN make install" in lines
    users = [k for k, line in enumerate(lines) if line.startswith("USER ")]
    assert lines[users[-1]] != "USER root"
    assert users[-1] < lines.index("RUN make install")
    # So that `docker run IMAGE spikefinder-keras ...` finds the command.
    assert "ENV PATH=/spikefinder_keras/.venv/bin:$PATH" in lines
    assert lines[-1] == 'CMD ["make", "submission"]'


def test_make_knows_the_targets_that_others_name(python):
    makefile = (TREE / "Makefile").read_text()
    for target in ("install", "submission", "reproduce", "test", "slow", "lint"):
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", target],
            cwd=TREE, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        expected = {"submission": "spikefinder-keras submission", "test": '-m "not slow"'}
        assert expected.get(target, ".venv") in done.stdout
    assert f"sys.version_info < {python}" in makefile


def test_continuous_integration_runs_make_test():
    script = TREE / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "make test" in lines
    assert "set -euo pipefail" in lines


def test_the_readme_names_both_commands():
    readme = (TREE / "README.md").read_text()
    for command in ("make submission", "make test"):
        assert command in readme


# The lock file


@pytest.fixture(scope="module")
def locked():
    """Of each library the locked requirements `(version, marker)`, and what stands under each."""
    text = (TREE / "requirements.lock").read_text()
    found = {}
    for line in re.findall(r"^[a-z0-9].*$", text, re.MULTILINE):
        requirement = Requirement(line.removesuffix("\\").strip())
        (version,) = (each.version for each in requirement.specifier)
        found.setdefault(canonicalize_name(requirement.name), []).append(
            (version, requirement.marker)
        )
    return found


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_lock_file_satisfies_setup_cfg(locked, requirements, setup, version, system):
    environment = {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": system,
        "extra": "",
    }
    extra = setup["options.extras_require"]["tensorflow"].split()
    for requirement in map(Requirement, [*requirements, *extra]):
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        versions = [
            version
            for version, marker in locked[canonicalize_name(requirement.name)]
            if marker is None or marker.evaluate(environment)
        ]
        assert len(versions) == 1, requirement
        assert requirement.specifier.contains(versions[0]), requirement


def test_every_locked_file_has_a_hash():
    text = (TREE / "requirements.lock").read_text()
    for block in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_what_is_installed_is_locked():
    makefile = (TREE / "Makefile").read_text()
    assert "LOCK ?= requirements.lock" in makefile
    assert "--require-hashes --requirement $(LOCK)" in makefile


# How it is cited


def test_citation_and_zenodo_name_this_version():
    import yaml

    citation = yaml.safe_load((TREE / "CITATION.cff").read_text())
    zenodo = json.loads((TREE / ".zenodo.json").read_text())
    assert citation["version"] == zenodo["version"] == __version__
    assert citation["title"] == zenodo["title"]
    assert citation["license"] == zenodo["license"] == "MIT"
    # What the format, 1.2.0, requires.
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"] and citation["authors"]
    papers = [citation["preferred-citation"], *citation["references"]]
    for paper in papers:
        assert paper["type"] in ("article", "software")
        assert paper["title"] and paper["authors"]
        for author in paper["authors"]:
            assert author.keys() in ({"family-names", "given-names"}, {"name"})
        assert re.fullmatch(r"10\.\d{4,}/\S+", paper.get("doi", "10.1371/none"))
    assert [paper["year"] for paper in papers] == [2018, 2017, 2021]
    assert papers[0]["doi"] == "10.1371/journal.pcbi.1006157"
    assert papers[0]["doi"] in [each["identifier"] for each in zenodo["related_identifiers"]]


def test_the_changelog_has_this_version():
    assert f"\n## {__version__}" in (TREE / "CHANGELOG.md").read_text()


# The wheel


def test_the_model_cards_have_the_hashes_of_their_files():
    for card in (TREE / "weights").glob("*.md"):
        hashes = dict(re.findall(r"`([\w.-]+)`: sha256 `([0-9a-f]{64})`", card.read_text()))
        assert f"{card.stem}.weights.h5" in hashes
        for name, sha256 in hashes.items():
            content = (TREE / "weights" / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == sha256, name


def test_the_embedded_weights_are_there():
    from spikefinder_keras.network.weights import EMBEDDED

    there = {path.name for path in (TREE / "weights").iterdir()}
    assert set(EMBEDDED.values()) <= there
    for name in EMBEDDED.values():
        assert name.replace(".weights.h5", ".md") in there, f"{name} has no model card"


def test_the_wheel_holds_the_package_and_the_weights(wheel, copy):
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    source = copy / "spikefinder_keras"
    expected = {f"spikefinder_keras/{p.relative_to(source)}": p for p in source.rglob("*.py")}
    others = [source / "py.typed", source / "figures" / "recording_page.html"]
    others += [p for p in (source / "view").iterdir() if p.suffix in (".css", ".html", ".js")]
    assert len(others) > 5
    for other in others:
        expected[f"spikefinder_keras/{other.relative_to(source)}"] = other
    for path in (copy / "weights").iterdir():
        if path.name.endswith((".weights.h5", ".json", ".md", ".py")):
            expected[f"spikefinder_keras/embedded_weights/{path.name}"] = path
    information = f"spikefinder_keras-{__version__}.dist-info/"
    ours = {name for name in held if not name.startswith(information)}
    assert ours == set(expected)
    for name, path in expected.items():
        assert held[name] == path.read_bytes(), name
    assert held[information + "licenses/LICENSE"] == (copy / "LICENSE").read_bytes()


def test_the_wheel_says_what_it_needs(wheel, setup, requirements):
    with zipfile.ZipFile(wheel) as archive:
        information = f"spikefinder_keras-{__version__}.dist-info/"
        headers = email.message_from_bytes(archive.read(information + "METADATA"))
        entries = archive.read(information + "entry_points.txt").decode()
    assert headers["Name"] == "spikefinder-keras"
    assert headers["Version"] == __version__
    assert headers["Requires-Python"] == setup["options"]["python_requires"]
    needed = [line for line in headers.get_all("Requires-Dist") if "extra ==" not in line]
    assert needed == requirements
    assert entries.split() == [
        *("[console_scripts]", "spikefinder-keras", "=", "spikefinder_keras.cli:main")
    ]


def test_the_installed_wheel_finds_its_weights(wheel, tmp_path):
    target = tmp_path / "installed"
    pip("install", "--no-deps", "--no-index", "--target", target, wheel)
    package, weights = where(sys.executable, target, tmp_path)
    assert package == target / "spikefinder_keras" / "__init__.py"
    assert weights
    for path in weights:
        assert path.is_file()
        assert path.parent == target / "spikefinder_keras" / "embedded_weights"


@pytest.mark.slow
def test_an_editable_installation_finds_its_weights(copy, tmp_path):
    # As `make install` and environment.yml install it. The libraries come from this environment by
    # a .pth file, so that its folder stands behind the new one's: where this environment has an
    # editable installation of its own, the finder of the new one is still found first.
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--editable", copy)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "zz_libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    package, weights = where(python, None, tmp_path)
    assert package == copy / "spikefinder_keras" / "__init__.py"
    assert weights
    for path in weights:
        assert path.is_file()
        assert path.resolve().parent == copy / "weights"
