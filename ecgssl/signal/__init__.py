"""What an ECG is: leads and their algebra, the signal contract, cleaning, quality, drawing."""
