"""Files: paths, URLs, decompression, the text of HTML pages, and text that does no harm."""
