"""Report of a fine-tuned model: page, JSON, checklists and comparison."""
