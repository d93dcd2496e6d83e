"""HTML that cannot be written unescaped.

A page is a tree of :class:`Element` and text.  Text becomes HTML only in :func:`render`, which
escapes it; there is no way to put markup in as text.  Tags and attributes are those listed here (no
script, no frame, no object, no inline style, no event handler), and a link leads inside the page.
Characters that are not plainly visible are written as their codes, so text from evidence cannot
reorder or hide what stands beside it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from casemate.explore.escape import visible

TAGS: frozenset[str] = frozenset(
    {
        *("html", "head", "meta", "title", "body", "header", "main", "nav", "section", "article", "footer", "div"),
        *(
            "h1",
            "h2",
            "h3",
            "p",
            "ul",
            "ol",
            "li",
            "dl",
            "dt",
            "dd",
            "table",
            "caption",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        ),
        *("a", "b", "br", "code", "pre", "small", "span", "strong"),
        *("svg", "g", "line", "rect", "text"),
    }
)
VOID: frozenset[str] = frozenset({"br", "meta"})
ATTRIBUTES: frozenset[str] = frozenset(
    {
        *(
            "class",
            "id",
            "href",
            "lang",
            "charset",
            "name",
            "content",
            "http-equiv",
            "scope",
            "colspan",
            "title",
            "role",
        ),
        *("aria-label", "viewBox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "text-anchor"),
    }
)


@dataclass(frozen=True)
class Element:
    """One element: a tag of :data:`TAGS`, attributes of :data:`ATTRIBUTES`, children in order."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Element | Style | str, ...]

    def __post_init__(self) -> None:
        if self.tag not in TAGS:
            raise ValueError(f"no such tag: {self.tag}")
        for name, value in self.attributes:
            if name not in ATTRIBUTES:
                raise ValueError(f"no such attribute: {name}")
            if name == "href" and not value.startswith("#"):
                raise ValueError("a link leads inside the page")


@dataclass(frozen=True)
class Style:
    """A style sheet of ours; never text from evidence."""

    text: str

    def __post_init__(self) -> None:
        if "<" in self.text:
            raise ValueError("a style sheet holds no markup")


Node = Element | Style | str


def element(tag: str, *children: Node | Iterable[Node] | None, **attributes: Any) -> Element:
    """An element.  ``class_`` is the attribute ``class``, other names with ``_`` are written with ``-``.

    Children that are None or attributes that are None are left out; numbers are written as they are.
    """
    given: list[Node] = []
    for child in children:
        if isinstance(child, (str, Element, Style)):
            given.append(child)
        elif child is not None:
            given.extend(child)
    named = tuple(
        (name.rstrip("_").replace("_", "-"), _number(value)) for name, value in attributes.items() if value is not None
    )
    return Element(tag, named, tuple(given))


def render(node: Node) -> Iterator[str]:
    """The HTML of a tree, piece by piece."""
    if isinstance(node, str):
        yield escaped(node)
    elif isinstance(node, Style):
        yield f"<style>{node.text}</style>"
    else:
        attributes = "".join(f' {name}="{escaped(value, lines=False)}"' for name, value in node.attributes)
        yield f"<{node.tag}{attributes}>"
        if node.tag not in VOID:
            for child in node.children:
                yield from render(child)
            yield f"</{node.tag}>"


def escaped(text: str, *, lines: bool = True) -> str:
    """`text` as HTML: escaped, hidden characters as codes, line breaks and tabs kept where they do no harm."""
    if not text.isascii() or not text.isprintable():
        parts = text.replace("\r\n", "\n").split("\n") if lines else [text]
        text = "\n".join("\t".join(visible(cell) for cell in part.split("\t")) for part in parts)
    return html.escape(text, quote=True)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
