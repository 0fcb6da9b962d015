"""What files are, wherever they lie: paths, addresses, compression and the markup of pages."""
