"""Where rows come from: files and tables of every corpus that is not text."""
