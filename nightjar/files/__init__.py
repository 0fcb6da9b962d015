"""What files are, wherever they lie: paths, addresses, compression, markup, harmless text."""
