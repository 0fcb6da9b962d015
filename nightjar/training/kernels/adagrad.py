"""GloVe's pass over the co-occurrences with AdaGrad steps.

The objective (Pennington et al. 2014, equation 8) of one entry is half of f(x) (w.c + b + b' -
log x)^2. The step is that of the authors' C program (glove.c, version 1.0): the learning
rate is part of the gradient whose squares are accumulated, accumulators start at 1, and a
step divides by the root of the sum before this gradient is added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.training.kernels.compilation import compiled


@compiled(has_fast_sums=True)
def adagrad_pass(
    entries: NDArray[np.void],
    words: NDArray[np.float32],
    contexts: NDArray[np.float32],
    word_biases: NDArray[np.float32],
    context_biases: NDArray[np.float32],
    word_squares: NDArray[np.float32],
    context_squares: NDArray[np.float32],
    word_bias_squares: NDArray[np.float32],
    context_bias_squares: NDArray[np.float32],
    eta: np.float32,
) -> float:
    """One step for each of ``entries``, in their order; all other arrays change in place.

    ``entries`` (n,) has fields ``row``, ``column`` (int32), ``log_count``, ``weight``
    (float32). ``words``, ``contexts`` and their ``*_squares`` are (n_words, vector_size),
    biases and their squares (n_words,). Returns the float64 sum of the entries' losses,
    each taken before its step. Threads may run on the same arrays at once without locks.
    """
    loss = 0.0
    for n in range(entries.shape[0]):
        i = entries[n].row
        j = entries[n].column
        word = words[i]
        context = contexts[j]
        word_square = word_squares[i]
        context_square = context_squares[j]
        product = np.float32(0.0)
        for k in range(word.shape[0]):
            product += word[k] * context[k]
        difference = product + word_biases[i] + context_biases[j] - entries[n].log_count
        weighted = entries[n].weight * difference
        loss += 0.5 * np.float64(weighted) * np.float64(difference)
        step = weighted * eta
        for k in range(word.shape[0]):
            word_gradient = step * context[k]
            context_gradient = step * word[k]
            word[k] -= word_gradient / np.sqrt(word_square[k])
            context[k] -= context_gradient / np.sqrt(context_square[k])
            word_square[k] += word_gradient * word_gradient
            context_square[k] += context_gradient * context_gradient
        word_biases[i] -= step / np.sqrt(word_bias_squares[i])
        context_biases[j] -= step / np.sqrt(context_bias_squares[j])
        word_bias_squares[i] += step * step
        context_bias_squares[j] += step * step
    return loss
