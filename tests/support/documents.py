"""YAML documents that make no config, each with words of what is said about it."""

from __future__ import annotations

from alignment_app.services.configs import MAX_YAML

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

DOCUMENTS: dict[str, tuple[str, str]] = {
    "empty": ("", "is empty"),
    "only a comment": ("# nothing", "must be a mapping"),
    "a list": ("- a\n- b", "must be a mapping"),
    "a sentence": ("hello there", "must be a mapping"),
    "tabs": ("name: x\n\tparadigm: y", "not valid YAML at line 2"),
    "an open bracket": ("name: [x", "not valid YAML"),
    "a tag that runs code": ("name: !!python/object/apply:os.system ['true']", "not valid YAML"),
    "an alias bomb": (BOMB, "YAML alias"),
    "a date as the name": ("name: 2026-01-01", "quotation marks"),
    "a number as a field name": ("1: x", "is not text"),
    "deep nesting": ("a: " + "[" * 3000 + "]" * 3000, "not valid YAML|nested too deep"),
    "too large": ("name: " + "x" * MAX_YAML, "at most"),
    "an endless number": ("training: {max_grad_norm: .inf}", "finite"),
    "not a number": ("training: {beta: .nan}", "finite"),
    "a control character": ('name: "a\\0b"', "NUL|cannot be shown"),
}
