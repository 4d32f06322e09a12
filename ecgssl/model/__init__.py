"""Models and losses: encoder, decoder, classifier, FDA, STDM and CoRe-ECG."""
