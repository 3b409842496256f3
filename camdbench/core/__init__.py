"""The vocabulary of camdbench, free of torch: errors, specs, options, registries and rows."""
