// Wake-sleep in plain C++: doubles, one row after the other, the algorithm as one would write it down.
//
// A layer is M × N weights, one row per source unit, then N biases: all layers stand one after the other in one
// vector, p from the visible level up, then the prior, then q from the visible level up.

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace {

using State = std::vector<std::vector<double>>;

struct Layer {
    double *weights, *biases, *gradient;  // the gradient: of weights, then of biases
    int n_source, n_target;

    // out = σ(source·W + b)
    void probabilities(const double *source, double *out) const {
        for (int j = 0; j < n_target; j++) out[j] = biases[j];
        for (int i = 0; i < n_source; i++)
            for (int j = 0; j < n_target; j++) out[j] += source[i] * weights[i * n_target + j];
        for (int j = 0; j < n_target; j++) out[j] = 1 / (1 + std::exp(-out[j]));
    }

    void draw(const double *source, double *target, std::mt19937_64 &random) const {
        probabilities(source, target);
        for (int j = 0; j < n_target; j++) target[j] = (random() >> 11) * 0x1p-53 < target[j];
    }

    // gradient += [source, 1] ⊗ (target − σ(source·W + b))
    void learn(const double *source, const double *target, double *error) {
        probabilities(source, error);
        for (int j = 0; j < n_target; j++) error[j] = target[j] - error[j];
        for (int i = 0; i < n_source; i++)
            for (int j = 0; j < n_target; j++) gradient[i * n_target + j] += source[i] * error[j];
        for (int j = 0; j < n_target; j++) gradient[n_source * n_target + j] += error[j];
    }

    void update(double scale) {
        for (int k = 0; k < (n_source + 1) * n_target; k++) {
            weights[k] += scale * gradient[k];
            gradient[k] = 0;
        }
    }
};

struct Machine {
    std::vector<double> gradients, error;
    std::vector<Layer> p, q;
    State state;

    Machine(double *parameters, const int *sizes, int n_levels) {
        auto layer = [&](int n_source, int n_target) {
            Layer made{parameters, parameters + n_source * n_target, nullptr, n_source, n_target};
            parameters += (n_source + 1) * n_target;
            return made;
        };
        for (int l = 0; l + 1 < n_levels; l++) p.push_back(layer(sizes[l + 1], sizes[l]));
        p.push_back(layer(0, sizes[n_levels - 1]));
        for (int l = 0; l + 1 < n_levels; l++) q.push_back(layer(sizes[l], sizes[l + 1]));
        for (int l = 0; l < n_levels; l++) state.emplace_back(sizes[l]);
        state.emplace_back();  // above the top: the prior has no sources
        size_t widest = 0, total = 0;
        for (auto &level : state) widest = std::max(widest, level.size());
        for (auto *layers : {&p, &q})
            for (auto &one : *layers) total += (one.n_source + 1) * one.n_target;
        error.resize(widest);
        gradients.resize(total);
        double *gradient = gradients.data();
        for (auto *layers : {&p, &q})
            for (auto &one : *layers) one.gradient = gradient, gradient += (one.n_source + 1) * one.n_target;
    }

    void wake(const uint8_t *row, std::mt19937_64 &random) {
        state[0].assign(row, row + state[0].size());
        for (size_t l = 0; l < q.size(); l++) q[l].draw(state[l].data(), state[l + 1].data(), random);
        for (size_t l = 0; l < p.size(); l++) p[l].learn(state[l + 1].data(), state[l].data(), error.data());
    }

    void sleep(std::mt19937_64 &random) {
        for (size_t l = p.size(); l-- > 0;) p[l].draw(state[l + 1].data(), state[l].data(), random);
        for (size_t l = 0; l < q.size(); l++) q[l].learn(state[l].data(), state[l + 1].data(), error.data());
    }
};

}  // namespace

// One pass over the rows, (n_rows, sizes[0]) bytes of 0 or 1, in the given order, in minibatches.
extern "C" void epoch(double *parameters, const int *sizes, int n_levels, const uint8_t *rows, const int64_t *order,
                      int64_t n_rows, int64_t batch_size, double rate, uint64_t seed) {
    Machine machine(parameters, sizes, n_levels);
    std::mt19937_64 random(seed);
    for (int64_t first = 0; first < n_rows; first += batch_size) {
        int64_t n = std::min(batch_size, n_rows - first);
        for (int64_t k = first; k < first + n; k++) machine.wake(rows + order[k] * sizes[0], random);
        for (auto &layer : machine.p) layer.update(rate / n);
        for (int64_t k = 0; k < n; k++) machine.sleep(random);
        for (auto &layer : machine.q) layer.update(rate / n);
    }
}
