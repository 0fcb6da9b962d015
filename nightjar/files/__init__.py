"""Files: paths, what is written, archives, URLs, HTML, harmless text; listening and asking."""
