"""Tables from rows: means with intervals, ties, tests, the regression check. Uses pandas, never torch."""
