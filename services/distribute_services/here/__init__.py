"""Runs one batch on this computer: scheduler, archiver and node-runner in one process, without a broker."""
