"""Files: paths, outputs, URLs, decompression, text of HTML pages, harmless text; listening."""
