"""CoRe-ECG pretraining."""
