"""Evaluation functions for multilabel, multiclass and regression tasks."""
