"""HTTP service that scores recordings with a bundle."""
