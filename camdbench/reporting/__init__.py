"""Pictures and pages made of results; above the tables, and never imported by them."""
