"""HTTP service of a bundle."""
