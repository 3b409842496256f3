"""The embedded data set: drawn objects on textured backgrounds, where the background gives the class away."""
