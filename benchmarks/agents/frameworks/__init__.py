"""One file for each framework: ``FRAMEWORK``, its name, and ``STORES``, ours first."""
