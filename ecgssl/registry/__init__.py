"""Publication of bundles in the MLflow model registry and on the Hugging Face Hub."""
