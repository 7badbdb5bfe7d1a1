"""Programs for those who work on ferrite-py; not part of an installation."""
