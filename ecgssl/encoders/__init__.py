"""Encoders and classifiers that ship with the package, each a verified bundle in its own folder here."""
