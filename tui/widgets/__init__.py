"""Textual widgets of our own, all on the Line API."""
