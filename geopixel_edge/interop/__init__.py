"""Answers in the forms of other tools; each module imports its tool when it is asked, never before."""
