"""Public sets: layout, records, labels, split and known defects of each, one class in one file."""
