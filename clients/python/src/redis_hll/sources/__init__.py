"""Where events come from: files and streams."""
