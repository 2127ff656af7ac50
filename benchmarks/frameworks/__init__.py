"""Agents of each framework against the framework alone: `python -m benchmarks.frameworks`."""
