"""Publishing of bundles: MLflow model registry and Hugging Face Hub."""
