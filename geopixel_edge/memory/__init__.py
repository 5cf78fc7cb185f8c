"""How a request fits a device: `plan` is arithmetic, `residency` loads and frees blocks as the plan says."""
