"""Files: paths, outputs, archives, URLs, decompression, HTML, harmless text; listening."""
