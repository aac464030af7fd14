"""Pure drawing: plain values in, rows of (text, style name) out. Nothing here knows Textual, a session or a colour."""
