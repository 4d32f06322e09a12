"""Fine-tuning of an encoder on a downstream task: linear, attentive and full."""
