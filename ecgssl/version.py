"""Version of the package."""

from __future__ import annotations

__version__ = "0.2.0"
"""Between releases, the next version with ``.dev0``. A run that an earlier version stopped is refused by its number."""
