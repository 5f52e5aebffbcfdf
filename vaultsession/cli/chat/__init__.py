"""A chat at a terminal: its loop, what a person types, and text that comes in pieces."""
