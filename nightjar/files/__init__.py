"""Files: paths, URLs, decompression, numbers, HTML, harmless text; listening and asking."""
