"""Answers the rows of a table, on this machine or on Spark."""
