"""Jinja2 environment of all HTML pages, with escaping, number formats and shared templates."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

UNDEFINED = Markup('<span class="soft">undefined</span>')


def render(templates: BaseLoader, name: str, **values: object) -> str:
    """Return an HTML page rendered from a template.

    Templates can extend ``base.html``, which defines the page frame, style and content security policy, and import
    ``macros.html``. All values are escaped except ``Markup``, which is used for charts.

    Args:
        templates: template loader of the calling package, for example ``PackageLoader("ecgssl.report")``.
        name: file name of the template.
        **values: variables of the template.

    Raises:
        jinja2.UndefinedError: the template uses a variable that is not in ``values``.
    """
    return _environment(templates).get_template(name).render(values)


@lru_cache(maxsize=8)
def _environment(templates: BaseLoader) -> Environment:
    """Return the Jinja2 environment of a loader. It is cached, so that templates are compiled only once."""
    environment = Environment(
        loader=ChoiceLoader([templates, PackageLoader("ecgssl.html")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (thousands, percent, number, estimate, p_value, data_uri)
    environment.filters.update({function.__name__: function for function in filters})
    return environment


def thousands(count: int) -> str:
    """Return an integer with thousands separators, for example ``12,345``."""
    return f"{count:,}"


def percent(share: float, digits: int = 1) -> str:
    """Return a proportion from 0 to 1 as a percentage, for example ``12.3 %``."""
    return f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """Return a number with a typographic minus sign, or "undefined" for ``None``.

    Args:
        value: number, or ``None`` if it is undefined.
        digits: number of digits after the decimal point.
        sign: ``+`` to write a plus sign before positive numbers.
    """
    return UNDEFINED if value is None else f"{value:{sign}.{digits}f}".replace("-", "−")


def estimate(found: Mapping[str, Any] | None, digits: int = 3, sign: str = "", separator: str = " to ") -> str:
    """Return an estimate with its interval as ``value (low to high)``, or "undefined" if the value is missing.

    If a bound is missing, only the value is returned.

    Args:
        found: estimate with the key ``value`` or ``difference``, and the bounds ``low`` and ``high`` of its interval.
        digits, sign: number format; see ``number``.
        separator: text between the bounds.
    """
    value = (found or {}).get("value", (found or {}).get("difference"))
    if not found or value is None:
        return UNDEFINED
    bounds = [found.get("low"), found.get("high")]
    if None in bounds:
        return number(value, digits, sign)
    interval = separator.join(number(bound, digits, sign) for bound in bounds)
    return Markup('{} <span class="ci">({})</span>').format(number(value, digits, sign), interval)


def p_value(value: float) -> str:
    """Return a p-value with three digits after the decimal point, or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def data_uri(png: bytes) -> str:
    """Return a PNG image as a ``data:`` URI, which embeds it in the page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
