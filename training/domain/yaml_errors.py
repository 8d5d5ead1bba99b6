"""Error messages for invalid YAML documents."""

from __future__ import annotations


def yaml_problem(error: Exception) -> str:
    """Describe a YAML parse error, with line and column if the parser reports them."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        where = f" at line {mark.line + 1}, column {mark.column + 1}"
        return f"this is not valid YAML{where}; indent with spaces and quote text with ': '"
    return f"this is not valid YAML: {str(error)[:120]}"
