"""CoRe-ECG pretraining: loop, step, history and diagnostics."""
