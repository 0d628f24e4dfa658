"""`python -m benchmarks NAME ...` runs a program of this folder; without a name it lists them.

They are programs rather than modules of the package: none is imported by it.
"""

import ast
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent
HELPERS = ("__main__", "child_process")


def main(argv):
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS)
    if not argv or argv[0] not in names:
        for name in names:
            document = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text()))
            print(f"{name:20} {document.splitlines()[0]}")
        return 0 if not argv else 2
    sys.path.insert(0, str(HERE))
    sys.argv = [f"benchmarks {argv[0]}", *argv[1:]]
    runpy.run_path(str(HERE / f"{argv[0]}.py"), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
