"""This store as other frameworks know it: one file per framework, each imported by name and each removable."""
