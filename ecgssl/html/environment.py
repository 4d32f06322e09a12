"""Jinja2 environment of all HTML pages: escaped output, number formats, shared templates."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

UNDEFINED = Markup('<span class="soft">undefined</span>')


def render(templates: BaseLoader, name: str, **values: object) -> str:
    """Return a page.

    Templates can extend ``base.html``, which sets frame, style and content policy, and import ``macros.html``. All values
    are escaped unless they are ``Markup``, such as charts. A name that is not defined raises.

    Args:
        templates: loader of the calling package, ``PackageLoader("ecgssl.report")``.
        name: file name of the template of the page.
        **values: plain data that the template lays out.

    Raises:
        jinja2.UndefinedError: the template uses a value that is missing.
    """
    environment = Environment(
        loader=ChoiceLoader([templates, PackageLoader("ecgssl.html")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (thousands, percent, number, estimate, p_value, data_uri)
    environment.filters.update({function.__name__: function for function in filters})
    return environment.get_template(name).render(values)


def thousands(count: int) -> str:
    """Return a count with separators: ``12,345``."""
    return f"{count:,}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 0 to 1 as a percentage: ``12.3 %``."""
    return f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """Return a number with a true minus sign, or "undefined".

    Args:
        value: the number; ``None`` for an undefined one.
        digits: after the decimal point.
        sign: ``+`` to write the sign of positive numbers.
    """
    return UNDEFINED if value is None else f"{value:{sign}.{digits}f}".replace("-", "−")


def estimate(found: Mapping[str, Any] | None, digits: int = 3, sign: str = "", separator: str = " to ") -> str:
    """Return ``value (low to high)``, or "undefined".

    Args:
        found: ``value`` or ``difference``, and the bounds ``low`` and ``high`` of its interval.
        digits, sign: as in ``number``.
        separator: between the bounds.
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
    """Return a p-value with three digits: ``0.012`` or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def data_uri(png: bytes) -> str:
    """Return a PNG as a ``data:`` address, so that the page stays one file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
