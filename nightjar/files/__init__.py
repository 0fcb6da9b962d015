"""Reading files: paths, URLs, decompression, and the text of HTML pages."""
