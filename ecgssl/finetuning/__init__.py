"""Linear, attentive and full fine-tuning of an encoder on a downstream task."""
