"""Instruction of error messages about files of a bundle that 'ecgssl export' writes."""

from __future__ import annotations

EXPORT_AGAIN = "Make the bundle again with 'ecgssl export'"
