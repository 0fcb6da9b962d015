"""Files: paths, what is written, archives, URLs, decompression, HTML, harmless text; listening."""
