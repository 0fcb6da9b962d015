"""Search the documents of a pipeline by meaning; 'nightjar run' must have run.

python examples/search_documents.py pipeline_config.yaml "a bush fire near the city"
"""

import sys
import textwrap

import nightjar

config, query = sys.argv[1:]
try:
    hits = nightjar.Pipeline(config).search(query, topn=3)
except nightjar.NightjarError as error:
    sys.exit(f"{error}")
for rank, hit in enumerate(hits, start=1):
    print(f"{rank}. {hit.doc_id} ({hit.similarity:.2f})")
    print(textwrap.indent(textwrap.fill(hit.snippet, 90), "   "))
