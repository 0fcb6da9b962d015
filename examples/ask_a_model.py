"""Ask a model about words: a registered one, or a file of vectors.

python examples/ask_a_model.py models:/nightjar-glove@champion king queen man woman
python examples/ask_a_model.py glove.6B.100d.txt king queen man woman
"""

import sys
from itertools import pairwise

import nightjar

where, *words = sys.argv[1:]
try:
    model = nightjar.open_model(where)
    print(model)
    for word, near in zip(words, model.neighbors(words, topn=5), strict=True):
        print(f"{word}: " + ", ".join(f"{found.token} {found.similarity:.2f}" for found in near))
    for pair in pairwise(words):
        print(f"{pair[0]}, {pair[1]}: {model.similarity([pair])[0]:.2f}")
    if len(words) > 2:
        print(f"the odd one out: {model.odd_one_out(words).word}")
        answer = model.neighbors_of([words[1], words[2]], [words[0]], topn=1)[0]
        print(f"{words[0]} is to {words[1]} as {words[2]} is to {answer.token}")
except nightjar.NightjarError as error:
    sys.exit(f"{error}")
