"""Figures and image pages made from results; imports tables, and is never imported by them."""
