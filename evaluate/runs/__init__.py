"""Runs over a data set: asking with a ledger, scoring, reports, comparisons."""
