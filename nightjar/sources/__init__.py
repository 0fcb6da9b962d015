"""Where records come from, whatever a corpus makes of them.

``selection`` finds the files of the sources and hashes them; files behind URLs and rows of
databases are fetched first (``remote``). ``input_file`` reads a file, compressed or in an archive,
and proves that it is the planned one; ``encodings``, ``text_lines``, ``csv_lines``,
``json_objects`` and ``parquet_files`` take its bytes apart. ``conditions`` are those of the key
``where``; ``rejections`` says why a record is not wanted.
"""
