"""Templates, number formats and SVG charts for HTML pages."""
