"""The commands that Python answers: one module for each family, the registry and the runner."""
