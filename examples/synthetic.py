"""Training on data from a hidden generator: 16 visible units, 4 hidden ones, 2,000 rows.

Prints the reconstruction cross-entropy every five epochs, beside the entropy of independent units,
then five fantasies, and the exact log-likelihood beside that of the generator itself. (With weights this
small even the generator is hardly likelier than independent units; what the hidden units tell about a row
shows in its reconstruction.)
"""

import argparse

import numpy as np

from wakesleep import Bits, HelmholtzMachine, datasets


def trained(X: Bits, seed: int) -> HelmholtzMachine:
    """Fifty epochs from small weights and zero biases."""
    machine = HelmholtzMachine(
        (4,), learning_rate=0.2, batch_size=64, n_iter=50, initial_biases="zero", random_state=seed
    )
    return machine.fit(X, validation=X)


def entropy_of_independent_units(X: Bits) -> float:
    """Nats that a row takes if only the mean of every unit is known."""
    p = X.counts() / len(X)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=0, help="of the model; the data stay the same (default: 0)")
    seed = arguments.parse_args().seed
    X, true = datasets.make_synthetic(2000, n_features=16, hidden_layer_sizes=(4,), random_state=0)
    machine = trained(X, seed)
    print("epoch  reconstruction cross-entropy, nats")
    for entry in machine.history_[4::5]:
        print(f"{entry['epoch']:5d}  {entry['reconstruction_cross_entropy']:.3f}")
    print(f"entropy of independent units: {entropy_of_independent_units(X):.3f} nats")
    print("fantasies:")
    for fantasy in machine.sample(5):
        print("  " + "".join(map(str, fantasy)))
    generator = HelmholtzMachine.from_parameters(true.prior_logits, true.generative, true.recognition)
    mine, its = machine.score(X, method="exact"), generator.score(X, method="exact")
    print(f"log p(x): {mine:.3f} nats, the generator's {its:.3f}")


if __name__ == "__main__":
    main()
