"""Scenes larger than memory: windows on a fixed grid, a ledger of what each answered, and one layer of objects."""
