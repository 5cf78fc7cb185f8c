"""What an engine costs on an NVIDIA GPU: blocks beside their floors, whole answers beside torch, power and joules."""
