"""Charts that a reader can ask: exact values on hover, series that can be switched off, zoom; a picture elsewhere."""
