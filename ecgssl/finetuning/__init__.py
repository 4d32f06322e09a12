"""Linear, attentive and full fine-tuning of an encoder for a downstream task."""
