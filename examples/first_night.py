"""Run a night on a text of your own and see what became of each model.

python examples/first_night.py notes.txt
"""

import sys
from pathlib import Path

import nightjar

CONFIG = """
pipeline: {{name: notes}}
corpora:
  notes: {{kind: text, sources: {{notes: {{type: text, path: '{path}'}}}}}}
models:
  words: {{trainer: word2vec, architecture: skipgram, vector_size: 50, epochs: 5}}
evaluation:
  benchmarks:
    wordsim353: {{type: similarity, path: 'package:gensim/test/test_data/wordsim353.tsv'}}
registry: {{gate: {{benchmarks: [wordsim353], min_coverage: 0}}}}
"""

config = Path("notes.yaml")
config.write_text(CONFIG.format(path=Path(sys.argv[1]).resolve()), encoding="utf-8")
try:
    night = nightjar.Pipeline(config).run(on_progress=lambda report: print(report.step, end="\r"))
except nightjar.NightjarError as error:
    sys.exit(f"{error}")
for step in night.steps:
    print(f"{step.label}: {step.outcome.value}, {step.seconds:.1f} s")
for decision in night.decisions:
    print(f"{decision['model']}: {decision['outcome']}, {decision['reason']}")
