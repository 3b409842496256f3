"""Plan what is missing, execute it, store it: the main job."""
