"""Releases of public sets: what is downloaded, from where, politely, and verified."""
