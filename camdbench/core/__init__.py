"""Core vocabulary, free of torch: errors, specs, options, registries and rows."""
