"""Download of public sets."""
