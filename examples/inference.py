"""Inference in a small machine with given weights: 8 visible units, 3 hidden ones.

Shows the probabilities of the hidden units given a row, the reconstruction of the row from them,
and the prior.
"""

import numpy as np

from wakesleep import HelmholtzMachine

GENERATIVE = [  # one row per visible unit, one column per hidden unit
    [1.0, -0.5, 0.2],
    [-0.3, 0.8, -0.1],
    [0.6, 0.1, 0.0],
    [-0.7, 0.2, 0.3],
    [0.4, -0.9, 0.5],
    [0.1, 0.2, -0.4],
    [-0.2, 0.3, 0.7],
    [0.5, 0.0, -0.6],
]
GENERATIVE_BIASES = [0.0, 0.1, -0.2, 0.0, 0.2, 0.0, -0.1, 0.0]
RECOGNITION = [  # one row per hidden unit, one column per visible unit
    [0.5, -0.3, 0.7, -0.1, 0.2, 0.0, -0.4, 0.1],
    [-0.2, 0.6, -0.1, 0.3, -0.5, 0.1, 0.2, -0.3],
    [0.1, 0.2, 0.0, -0.4, 0.3, -0.2, 0.5, 0.1],
]
RECOGNITION_BIASES = [0.0, 0.1, -0.1]
PRIOR_LOGITS = [0.2, -0.2, 0.0]
X = [[1, 0, 1, 0, 1, 0, 0, 1]]


def main() -> None:
    # a layer's weights have one row per source unit, so both matrices are transposed
    machine = HelmholtzMachine.from_parameters(
        PRIOR_LOGITS,
        generative=[(np.transpose(GENERATIVE), GENERATIVE_BIASES)],
        recognition=[(np.transpose(RECOGNITION), RECOGNITION_BIASES)],
    )
    for name, values in (
        ("posterior means", machine.transform(X)[0]),
        ("reconstruction", machine.reconstruct(X)[0]),
        ("prior probabilities", 1 / (1 + np.exp(-machine.prior_logits_))),
    ):
        print(f"{name:20s}", *(f"{value:.3f}" for value in values))
    print(f"{'log p(x)':20s} {machine.score(X, method='exact'):.3f} nats")


if __name__ == "__main__":
    main()
