"""Forms in which users hold data: lists, torch and Hugging Face data sets, tables of paths."""
