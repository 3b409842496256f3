"""The embedded data set: rendered objects on textured backgrounds that correlate with the class."""
