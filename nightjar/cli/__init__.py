"""The command line: parsing commands and printing their results."""
