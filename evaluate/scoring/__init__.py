"""From predictions and truth to the figures of a report. Plain values out; nothing is written here."""
