"""Processing of ECG signals: leads, preprocessing settings, cleaning, quality checks, waveform codes and drawing."""
