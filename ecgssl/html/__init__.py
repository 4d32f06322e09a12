"""HTML pages: page frame and charts."""
