"""Which package may import which, how long a file may be, and a web process that never loads what trains."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_imports_only_what_it_may() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count; those for type checkers alone do not, as nothing runs them."""
    graph = grimp.build_graph(
        "alignment_app", "labeling", "training", "tests", exclude_type_checking_imports=True, cache_dir=None
    )
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while leaves := {module for module, imported in imports.items() if not imported & imports.keys()}:
        imports = {module: imported for module, imported in imports.items() if module not in leaves}
    used = set().union(*imports.values()) if imports else set()
    assert sorted(imports.keys() & used) == []


def test_selectors_make_no_addresses_and_no_html() -> None:
    forbidden = ("django.urls", "django.template", "django.utils.html", "django.utils.safestring", "django.shortcuts")
    found = []
    for path in (*ROOT.glob("alignment_app/selectors/*.py"), *ROOT.glob("labeling/selectors/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [f"{path.name}: {name}" for name in names if name.startswith(forbidden)]
    assert found == []


def test_no_source_file_is_longer_than_400_lines() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.js", "*.css", "*.html"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.splitlines() if "/migrations/" not in name]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files if path.exists()
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}
