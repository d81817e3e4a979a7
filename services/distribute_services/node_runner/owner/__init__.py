"""Whether the owner uses the computer: read from terminals, input devices and logind."""
