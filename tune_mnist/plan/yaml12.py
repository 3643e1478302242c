"""YAML as version 1.2 reads it, with the places of its parts: `yes` is a text, and so are 1:30 and 2026-01-01.

    root, content = read(text)

What two readers of YAML would take for two things is refused, and so is what makes much out of little: references to
other parts of the file, tags, and lists in lists in lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

DEEPEST = 20  # lists and mappings in each other; a sweep file has four
MOST = 200_000  # values, names, lists and mappings in all; a sweep has at most half as many points
LONGEST_NUMBER = 100  # digits of a whole number; a longer one is read as what a float has of it
PREFIX = "tag:yaml.org,2002:"
# Of YAML 1.2's core schema, with what a plain text begins with: PyYAML looks there first.
MEANINGS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", rf"[-+]?(?:0|[1-9][0-9]{{0,{LONGEST_NUMBER}}})", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
)
OCTAL = re.compile(r"[-+]?0[0-9_]+|[-+]?0[oOxXbB][0-9a-fA-F_]+")  # 010 is 8 in YAML 1.1 and 10 in 1.2
SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")  # 1:30 is 90 in YAML 1.1


class Refused(Exception):
    """What is no YAML, or none of ours; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


class _Loader(Composer, SafeConstructor, Resolver):
    """Without YAML 1.1's meanings of plain texts, and strict about what it composes."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as its class has it
    depth = count = 0

    def __init__(self, text: str) -> None:
        # libyaml's parser is seven times as fast as PyYAML's own, which some machines have alone.
        parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        self.check_event, self.peek_event, self.get_event = parser.check_event, parser.peek_event, parser.get_event
        for part in (Composer, SafeConstructor, Resolver):
            part.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Refused(line, "&NAME and *NAME refer to other parts of the file; write the values themselves")
        if getattr(event, "tag", None):
            raise Refused(line, f"the tag {event.tag!r} asks for more than a value; leave it out")
        if isinstance(event, yaml.ScalarEvent):
            _refuse_ambiguous(event, line)
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > DEEPEST:
            raise Refused(line, f"more than {DEEPEST} lists and mappings lie in each other")
        if self.count > MOST:
            raise Refused(line, f"more than {MOST:,} names and values; no sweep has so many points")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _refuse_ambiguous(event: yaml.ScalarEvent, line: int) -> None:
    if not event.implicit[0]:  # in quotes
        return
    if OCTAL.fullmatch(event.value):
        raise Refused(
            line, f"{event.value[:40]} is another number to other readers of YAML; write it in plain decimals"
        )
    if SIXTIES.fullmatch(event.value) and event.value.count(":") != 2:
        raise Refused(line, f"{event.value[:40]} counts in sixties to other readers of YAML; write one number")


for _kind, _text, _first in MEANINGS:
    _Loader.add_implicit_resolver(PREFIX + _kind, re.compile(f"(?:{_text})$"), _first)
_Loader.add_constructor(PREFIX + "float", lambda _, node: _float(node.value))


def _float(text: str) -> float:
    return float(
        text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
    )


@lru_cache(maxsize=4)  # a command asks a file for its task, its values and its sweeps
def read(text: str) -> tuple[yaml.Node | None, Any]:
    """The file's one document, as nodes that know their lines, and as values. Raises Refused."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise Refused(mark.line + 1 if mark else 1, f"not YAML: {problem}") from None


def line_of(node: yaml.Node, where: Sequence[Any]) -> int:
    """The line of the key or item that `where` leads to, as far as the file has it."""
    line = node.start_mark.line
    for part in where:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1


def refuse_repeated_keys(node: yaml.Node) -> None:
    """Raise Refused for a key that stands twice in one mapping."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            refuse_repeated_keys(child)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, child in node.value:
            if key.value in seen:
                raise Refused(key.start_mark.line + 1, f"'{key.value}' stands twice; give it once")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            refuse_repeated_keys(child)
