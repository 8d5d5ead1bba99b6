"""Behaviour is decided by codes: how a text begins or ends is asked only of text that is not the project's own words.

Every use of ``startswith``, ``endswith``, ``removeprefix`` and ``removesuffix``, and every lookup that ends in
``__startswith`` or ``__endswith``, is in the list below with its reason. A new one is of such a kind, and is added, or
it needs a code, a field or a registry's entry in its place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("alignment_app", "labeling", "training")
METHODS = {"startswith", "endswith", "removeprefix", "removesuffix"}
LOOKUPS = ("__startswith", "__istartswith", "__endswith", "__iendswith")

SEARCH = "a search field of the admin: what a person types"
ADDRESS = "a path of an address"
FORMAT = "the syntax of a file format"
NUMBER = "how a number is written"
FILES = "a path or name on disk"
FORM = "the syntax of a text from outside: a chat template, Markdown, a judge's own form"
ENGLISH = "grammar of the miniature's sentences"
FRAMEWORK = "the text of a library that gives no code"
KEY = "a key whose form is declared where it is made"

ALLOWED = {
    "'content_hash__startswith'": SEARCH,
    "'config_hash__startswith'": SEARCH,
    "str(self.object_list.query.order_by[0]).startswith('-')": FRAMEWORK,
    "path.startswith(url)": ADDRESS,
    "request.path.startswith('/api/')": ADDRESS,
    "f\"{one.path.rstrip('/')}/\".startswith(f\"{other.path.rstrip('/')}/\")": ADDRESS,
    "start.startswith(b'PAR1')": FORMAT,
    "start.startswith(mark)": FORMAT,
    "start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))": FORMAT,
    "text.startswith('[')": FORMAT,
    "text.startswith('{')": FORMAT,
    "line.endswith('\\n')": FORMAT,
    "line.endswith(b'\\n')": FORMAT,
    "text.read(_CHUNK).lstrip().removeprefix('[')": FORMAT,
    "buffer.startswith(',', place)": FORMAT,
    "buffer.startswith(']', place)": FORMAT,
    "value.lstrip().startswith('[{')": FORMAT,
    "line.startswith('#')": FORMAT,
    "mantissa.removesuffix('.0')": NUMBER,
    "text.startswith('-')": NUMBER,
    "header.strip().removesuffix('s')": NUMBER,
    "model.startswith(('/', './', '../', '~'))": FILES,
    "path.name.removeprefix('checkpoint-')": FILES,
    "state.src.startswith(opening, state.pos)": FORM,
    "text.removeprefix(start)": FORM,
    "text.removesuffix(closing)": FORM,
    "answer.lstrip().startswith(tag[0])": FORM,
    "whole.startswith(start)": FORM,
    "whole.removeprefix(start)": FORM,
    "before.startswith(prompt)": FORM,
    "before.startswith(prompt + cue)": FORM,
    "before.removeprefix(prompt + cue)": FORM,
    "found['INSTRUCTION_HERE'].removeprefix(_LABEL_OF_ASKED)": FORM,
    "reply.lstrip().startswith(_THINK)": FORM,
    "fields['CONVERSATION_HERE'].removeprefix('User: ')": FORM,
    "prompt.startswith(fixed[0])": FORM,
    "prompt.endswith(fixed[-1])": FORM,
    "response.strip().casefold().startswith(params['text'].strip().casefold())": "what a verifier checks in an answer",
    "response.strip().casefold().endswith(params['text'].strip().casefold())": "what a verifier checks in an answer",
    "noun.endswith(('s', 'sh', 'ch', 'x'))": ENGLISH,
    "noun.endswith('y')": ENGLISH,
    "question.family.statement.format(subject=question.subject, answer='').removesuffix('.')": ENGLISH,
    "text.removeprefix('Value error, ')": FRAMEWORK,
    "job_id.startswith(prefix)": KEY,
    "worker.name.startswith(here)": KEY,
    "name__startswith=name": "data sets that share a beginning with a new one, so that its name is free",
    "condition.startswith('!')": KEY,
    "condition.removeprefix('!')": KEY,
    "metric.key.removeprefix(PREFIX)": KEY,
}


def _uses(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                yield ast.unparse(node)
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)) if name.endswith(LOOKUPS):
                yield ast.unparse(node)


def test_no_behaviour_depends_on_how_the_projects_own_words_begin_or_end() -> None:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    found = [
        (str(path.relative_to(ROOT)), use)
        for path in files
        if "migrations" not in path.parts
        for use in _uses(path)
        if use not in ALLOWED
    ]
    assert found == []


def test_a_sentence_that_decides_is_found(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text('rows.filter(reason__startswith="The judge drifts")\nif text.startswith("Agrees"): pass\n')
    assert sorted(_uses(source)) == ["reason__startswith='The judge drifts'", "text.startswith('Agrees')"]
    assert not set(_uses(source)) & set(ALLOWED)
