"""Pure functions of tensors: no model, no state, no files."""
