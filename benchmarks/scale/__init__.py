"""GeoPixel-7B's real widths on this machine, beside what a user would pick instead and beside the hardware's floor."""
