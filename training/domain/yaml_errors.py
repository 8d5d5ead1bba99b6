"""What is said of a document that cannot be read, wherever it was given."""

from __future__ import annotations


def yaml_problem(error: Exception) -> str:
    """Why a text is not YAML, with the line and the column where the parser knows them."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        where = f" at line {mark.line + 1}, column {mark.column + 1}"
        return f"this is not valid YAML{where}; indent with spaces and quote text with ': '"
    return f"this is not valid YAML: {str(error)[:120]}"
