"""The implementations that the benchmarks compare.

Each is a class of one small protocol: it is made for a machine (`Case` or `Work`), rows and a number of threads,
`epoch()` trains on these rows once, `load(parameters)` takes over the parameters of another, and `parameters()`
are its own, as the arguments of `HelmholtzMachine.from_parameters`.
"""

import importlib
import importlib.util
import shutil

import numpy as np

from bench.cases import SEED
from wakesleep import _core, _likelihood, _reference_learning
from wakesleep._panels import has_amx
from wakesleep.optimizers import Optimizer
from wakesleep.rules import RULES, Rule
from wakesleep.state import start


class Core:
    """The compiled core."""

    slow = False
    equals_core = True  # in every bit
    rule = "wake-sleep"  # and others
    train = staticmethod(_core.train)
    precision = ""

    @classmethod
    def missing(cls):
        """What this implementation needs and is not here, or nothing."""
        return ""

    def __init__(self, case, rows, n_threads=1):
        self.case, self.rows, self.n_threads = case, rows, n_threads
        self.state = start(rows, case.sizes[1:], SEED)
        self.rule = Rule(case.rule, case.n_particles, RULES[case.rule].sleep_weight)
        self.optimizer = Optimizer(case.optimizer)
        self.moments, self.n_updates = self.state.moments_for(case.optimizer)
        self.rates = np.full((-(-len(rows) // case.batch_size), 2), case.rate)
        self.options = {"precision": self.precision} if self.precision else {}

    def epoch(self):
        state, case = self.state, self.case
        self.train(
            state.parameters.flat, self.moments, case.sizes, state.methods, self.rows.words, state.position,
            self.n_updates, SEED, case.batch_size, self.rates, self.rule, self.optimizer, self.n_threads,
            **self.options,
        )  # fmt: skip

    def load(self, parameters):
        self.state.parameters.flat[:] = parameters.flat

    def parameters(self):
        parameters = self.state.parameters
        return parameters.prior_logits, parameters.generative, parameters.recognition


class HalfFloats(Core):
    """The core where the promise of equal bits is given up for speed."""

    equals_core = False
    precision = "bf16x2"

    @classmethod
    def missing(cls):
        return "" if has_amx() else "processor with AMX"


class Importance(Core):
    """The core where it measures: an epoch is the mean log p(x) of all rows, by importance sampling."""

    equals_core = False
    rule = "importance"

    def __init__(self, case, rows, n_threads=1):
        self.case, self.rows, self.n_threads = case, rows, n_threads
        self.state = start(rows, case.sizes[1:], SEED)

    def epoch(self):
        state, case = self.state, self.case
        log_p, *_ = _likelihood.importance(
            state.parameters.flat, case.sizes, state.methods, self.rows.words, SEED, case.n_particles, self.n_threads
        )
        self.log_p = log_p.mean()


class Twin(Core):
    """The core's twin in plain NumPy, written to be read and to agree in every bit."""

    slow = True
    train = staticmethod(_reference_learning.train)


class Peer:
    """A module with a class of machines, of layers `p` and `q`, and `epoch(machine, rows, batch_size, rate)`.

    Subclasses name the module and the package that it needs, and say what its rows and its layers look like.
    The module is not imported before it is used.
    """

    slow = False
    equals_core = False
    rule = "wake-sleep"
    needs = ""  # a package
    machine_name = "Machine"

    @classmethod
    def missing(cls):
        return cls.needs if cls.needs and not importlib.util.find_spec(cls.needs) else ""

    def __init__(self, case, rows, n_threads=1):
        self.case, self.n_threads = case, n_threads
        self.machine = getattr(self.module(), self.machine_name)(case.sizes, SEED)
        self.rows = self.rows_of(rows)

    @classmethod
    def module(cls):
        return importlib.import_module(f"bench.{cls.module_name}")

    def epoch(self):
        self.module().epoch(self.machine, self.rows, self.case.batch_size, self.case.rate)

    def load(self, parameters):
        p = [*parameters.generative, parameters.prior]
        for layers, given in ((self.machine.p, p), (self.machine.q, parameters.recognition)):
            for i, (weights, biases) in enumerate(given):
                self.put(layers, i, weights, biases)

    def parameters(self):
        p, q = ([self.get(layer) for layer in layers] for layers in (self.machine.p, self.machine.q))
        return p[-1][1], p[:-1], q


class NumPyMinibatch(Peer):
    """NumPy at its fastest. Its BLAS has the threads that the environment gives it."""

    module_name = "numpy_minibatch"

    @staticmethod
    def rows_of(data):
        return data.to_dense()

    @staticmethod
    def put(layers, i, weights, biases):
        layers[i][:-1], layers[i][-1] = weights, biases

    @staticmethod
    def get(layer):
        return layer[:-1], layer[-1]


class PyTorch(Peer):
    """PyTorch at its fastest, where matrices are of middle size."""

    needs = "torch"
    module_name = "torch_minibatch"
    machine_name = "OneDNN"

    def rows_of(self, data):
        importlib.import_module("torch").set_num_threads(self.n_threads)
        return self.machine.data(data.to_dense())

    @staticmethod
    def put(layers, i, weights, biases):
        layers[i].numpy()[:-1], layers[i].numpy()[-1] = weights, biases

    @staticmethod
    def get(layer):
        return layer.numpy()[:-1], layer.numpy()[-1]


class PyTorchMKL(PyTorch):
    """PyTorch at its fastest, where matrices are small."""

    machine_name = "MKL"


class PyTorchReweighted(PyTorch):
    """PyTorch with weighted particles."""

    rule = "reweighted"
    module_name = "torch_reweighted"

    def epoch(self):
        case = self.case
        self.module().epoch(self.machine, self.rows, case.batch_size, case.rate, case.n_particles)


class PyTorchReweightedMKL(PyTorchReweighted):
    """The same by MKL."""

    machine_name = "MKL"


class PyTorchImportance(PyTorch):
    """PyTorch where it measures, as `Importance`."""

    rule = "importance"
    module_name = "torch_importance"

    def rows_of(self, data):
        return super().rows_of(data)[0]

    def epoch(self):
        self.log_p = self.module().score(self.machine, self.rows, self.case.n_particles)


class PyTorchImportanceMKL(PyTorchImportance):
    """The same by MKL."""

    machine_name = "MKL"


class PyTorchBags(PyTorch):
    """PyTorch at its fastest, where few of very many visible units are on."""

    machine_name = "Bags"


class JAX(Peer):
    """JAX at its fastest. XLA has the threads that the environment gives it."""

    needs = "jax"
    module_name = "jax_minibatch"

    @staticmethod
    def rows_of(data):
        return importlib.import_module("jax.numpy").asarray(data.to_dense())

    @staticmethod
    def put(layers, i, weights, biases):
        jnp = importlib.import_module("jax.numpy")
        layers[i] = jnp.array(weights), jnp.array(biases)

    @staticmethod
    def get(layer):
        return tuple(map(np.asarray, layer))


class PlainCpp(Peer):
    """Plain C++, in doubles."""

    slow = True
    module_name = "plain_cpp"

    @classmethod
    def missing(cls):
        return "" if shutil.which(cls.module().COMPILER) else "C++ compiler"

    @staticmethod
    def rows_of(data):
        return data.to_dense()

    @staticmethod
    def put(layers, i, weights, biases):
        layers[i].weights[:], layers[i].biases[:] = weights, biases

    @staticmethod
    def get(layer):
        return layer


class PurePython(Peer):
    """Lists and loops."""

    slow = True
    module_name = "pure_python"

    @staticmethod
    def rows_of(data):
        return data.to_dense(bool).tolist()

    @staticmethod
    def put(layers, i, weights, biases):
        layers[i].weights, layers[i].biases = weights.tolist(), biases.tolist()

    @staticmethod
    def get(layer):
        return layer.weights, layer.biases


IMPLEMENTATIONS = {
    "core": Core,
    "core (bf16x2)": HalfFloats,
    "core, importance": Importance,
    "NumPy": NumPyMinibatch,
    "PyTorch": PyTorch,
    "PyTorch (MKL)": PyTorchMKL,
    "PyTorch, importance": PyTorchImportance,
    "PyTorch, importance (MKL)": PyTorchImportanceMKL,
    "PyTorch (bags)": PyTorchBags,
    "PyTorch, reweighted": PyTorchReweighted,
    "PyTorch, reweighted (MKL)": PyTorchReweightedMKL,
    "JAX": JAX,
    "C++": PlainCpp,
    "NumPy twin": Twin,
    "pure Python": PurePython,
}
