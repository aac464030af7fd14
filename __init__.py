"""infertop: a model under several runtimes, its latency and the GPU's counters on one clock, live."""

__version__ = "0.1.0"
