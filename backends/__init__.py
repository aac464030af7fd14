"""What is measured: models, runtimes, the worker and its sample ring. The standard library and numpy only, Python 3.10."""
