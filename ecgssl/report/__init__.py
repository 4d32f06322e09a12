"""Report of a fine-tuned model as HTML and JSON, with reporting checklists, and comparison of several models."""
