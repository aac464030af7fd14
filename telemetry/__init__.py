"""What the machine does: host and GPU readings, histograms, statistics, diagnosis."""
