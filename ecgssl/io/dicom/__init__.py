"""Reader for DICOM ECG waveforms."""
