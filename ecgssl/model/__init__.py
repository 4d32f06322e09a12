"""FDA, STDM, encoder, decoder and CoRe-ECG."""
