"""Files: paths, URLs, decompression, the text of HTML pages, harmless text; listening, asking."""
