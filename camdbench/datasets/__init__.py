"""Where samples come from: the embedded `shortcuts`, and folders of the user's own."""
