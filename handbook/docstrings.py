"""Docstrings as the site shows them: an extension of Griffe, which reads the package for mkdocstrings."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Alias, Extension, GriffeLoader, Module, Object
from latex2mathml.converter import convert

MATH = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *(?=\n)))*)", re.MULTILINE)
INLINE_MATH = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")


class Docstrings(Extension):
    """Turns what Sphinx would read into Markdown, and names that are both a module and a function into the function."""

    def on_object(self, *, obj: Object | Alias, **_: Any) -> None:
        """Rewrite a docstring."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: Any) -> None:
        """Show ``oponm.training.fit`` the function, which hides the module of this name."""
        loader.resolve_aliases()
        for room in pkg.modules.values():
            for name in room.exports or []:
                member = room.members.get(str(name))
                if isinstance(member, Module) and str(name) in member.members:
                    function = member.members[str(name)]
                    self.on_object(obj=function)  # Griffe no longer finds it where it stands
                    room.members[str(name)] = Alias(str(name), function, parent=room)


def as_markdown(text: str) -> str:
    """A docstring with examples, links and mathematics as the site shows them.

    Args:
        text: the docstring, without indentation.

    Example:
        >>> as_markdown("See :func:`~oponm.nn.noise_routing`.")
        'See <autoref identifier="oponm.nn.noise_routing" optional><code>noise_routing</code></autoref>.'
    """
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    text = MATH.sub(lambda found: f"{found[1]}{_mathml(textwrap.dedent(found[2]).strip(), 'block')}\n", text)
    text = INLINE_MATH.sub(lambda found: _mathml(found[1], "inline"), text)
    return ROLE.sub(_link, text)


def _mathml(formula: str, display: str) -> str:
    return str(convert(" ".join(formula.split()), display=display))


def _link(found: re.Match[str]) -> str:
    short, name = found.groups()
    shown = name.rpartition(".")[2] if short else name
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
