// The reference is a transcription of io.tandem.sampling.Sampler: sort, cut, walk, in doubles.
#include "fixture.hpp"
#include <algorithm>

struct Row {
    std::int64_t seed;
    std::int32_t position, slot;
    float temperature;
    std::int32_t topK;
    float topP, minP, repetition, presence, frequency;
    std::int32_t flags;
    std::int32_t unused[4];
};
static_assert(sizeof(Row) == 64);

static double uniform(std::uint64_t key, std::uint64_t counter) {
    std::uint32_t c[4] = {(std::uint32_t)counter, (std::uint32_t)(counter >> 32), 0, 0};
    std::uint32_t k0 = (std::uint32_t)key, k1 = (std::uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        std::uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
        std::uint32_t n0 = (std::uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (std::uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[0] = n0, c[1] = (std::uint32_t)p1, c[2] = n2, c[3] = (std::uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return (double)((((std::uint64_t)c[1] << 32) | c[0]) >> 11) * 0x1p-53;
}

struct Choice {
    int token;
    float logprob;
};

static int chooseFrom(const Row& row, const std::vector<float>& x, int best) {
    int V = x.size();
    if (row.temperature == 0) return best;
    double u = uniform(row.seed, row.position), max = x[best];
    auto weight = [&](int i) { return std::exp(((double)x[i] - max) / row.temperature); };
    std::vector<int> order;
    bool truncated = (row.topK > 0 && row.topK < V) || row.topP < 1 || row.minP > 0;
    double floor = row.minP > 0 ? max + row.temperature * std::log((double)row.minP) : -INFINITY;
    for (int i = 0; i < V; i++)
        if (x[i] > -INFINITY && x[i] >= floor) order.push_back(i);
    if (truncated) std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return x[i] > x[j]; });
    std::size_t kept = row.topK > 0 ? std::min<std::size_t>(order.size(), row.topK) : order.size();
    double mass = 0;
    for (std::size_t i = 0; i < kept; i++) mass += weight(order[i]);
    if (row.topP < 1) {
        double limit = row.topP * mass;
        mass = 0;
        for (std::size_t i = 0; i < kept; i++) {
            mass += weight(order[i]);
            if (mass >= limit) kept = i + 1;
        }
    }
    double target = u * mass;
    for (std::size_t i = 0; i < kept; i++) {
        target -= weight(order[i]);
        if (target < 0) return order[i];
    }
    return order[kept - 1];
}

static Choice choose(const Row& row, const float* logits, const unsigned* states, const float* biases, int V) {
    std::vector<float> x(logits, logits + V);
    for (int i = 0; i < V; i++) {
        if (row.flags & 1) {
            unsigned times = states[i] & 0x7fffffffu;
            if (states[i] != 0) x[i] = x[i] > 0 ? x[i] / row.repetition : x[i] * row.repetition;
            if (times > 0) {
                volatile float product = row.frequency * (float)times;
                x[i] -= row.presence + product;
            }
        }
        if (row.flags & 2) x[i] += biases[i];
    }
    int best = 0;
    bool valid = true;
    for (int i = 0; i < V; i++) {
        valid &= x[i] == x[i];
        if (x[i] > x[best]) best = i;
    }
    if (!valid || x[best] == -INFINITY) return {-1, 0};
    int token = chooseFrom(row, x, best);
    double max = *std::max_element(logits, logits + V), sum = 0;
    for (int i = 0; i < V; i++) sum += std::exp((double)logits[i] - max);
    return {token, (float)(logits[token] - (max + std::log(sum)))};
}

static void sample(Fixture& f, int V, float spread, bool ties) {
    const int slots = 7;
    std::vector<Row> rows;
    auto add = [&](float temperature, int topK, float topP, float minP, int flags) {
        Row r{};
        r.seed = (std::int64_t)f.random();
        r.position = f.uniform(0, 5000);
        r.slot = (int)rows.size() % slots;
        r.temperature = temperature, r.topK = topK, r.topP = topP, r.minP = minP;
        r.repetition = 1.2f, r.presence = 0.3f, r.frequency = 0.17f, r.flags = flags;
        rows.push_back(r);
    };
    add(0, 0, 1, 0, 4), add(0.7f, 0, 1, 0, 4), add(1, 50, 1, 0, 0), add(1, 0, 0.9f, 0, 4), add(1.3f, 0, 1, 0.05f, 0);
    add(2.5f, 40, 0.8f, 0.001f, 7), add(0.8f, 0, 1, 0, 3);
    for (int i = 0; i < 60; i++) {
        add(0.2f + 0.05f * i, i % 3 ? 0 : f.uniform(1, V + 2), i % 4 ? 1 : 0.05f + 0.9f * (i / 60.f), i % 5 ? 0 : 0.01f, i % 2 ? 0 : 4);
        rows.back().slot = -1;
    }
    int R = rows.size(), live = R - 1;
    auto logits = f.normalFloats((std::size_t)R * V, spread);
    if (ties)
        for (auto& x : logits) x = std::round(x * 2) / 2;
    logits[(std::size_t)9 * V + V / 2] = NAN;
    for (int i = 0; i < V; i++) logits[(std::size_t)10 * V + i] = -INFINITY;
    for (int i = 0; i < V; i += 2) logits[(std::size_t)11 * V + i] = -INFINITY;
    std::vector<unsigned> states((std::size_t)slots * V, 0);
    for (auto& s : states)
        if (f.uniform(0, 9) == 0) s = 0x80000000u + f.uniform(0, 3);
    auto biases = f.normalFloats((std::size_t)slots * V, 1);
    Buffer tokens(f.driver, (std::size_t)R * 4), logprobs(f.driver, (std::size_t)R * 4), last(f.driver, slots * 4);
    tokens.poison();
    logprobs.poison();
    last.poison();
    Buffer workspace(f.driver, (std::size_t)R * f.kernels.property("sampling.workspaceRowBytes"));
    workspace.zero();
    auto logitsAt = Buffer::of(f.driver, logits), rowsAt = Buffer::of(f.driver, rows), statesAt = Buffer::of(f.driver, states);
    auto biasesAt = Buffer::of(f.driver, biases), count = Buffer::of(f.driver, std::vector<int>{live});
    int rounds = 3, wrong = 0, wrongLogprobs = 0, wrongStates = 0;
    for (int round = 0; round < rounds; round++) {
        rowsAt.write(rows);
        for (auto kernel : {"sample_max", "sample_draw"})
            f.kernels.launch(
                kernel, f.kernels.property("sampling.chunks"), R, 1, (Address)tokens, (Address)logprobs,
                (Address)logitsAt, (Address)rowsAt, (Address)statesAt, (Address)biasesAt, (Address)last,
                (Address)workspace, (Address)count, V);
        f.driver.synchronize();
        auto got = tokens.read<int>();
        auto gotLogprobs = logprobs.read<float>();
        for (int r = 0; r < live; r++) {
            std::size_t offset = (std::size_t)std::max(0, rows[r].slot) * V;
            auto c = choose(rows[r], &logits[(std::size_t)r * V], &states[offset], &biases[offset], V);
            if (got[r] != c.token && ++wrong <= 5)
                std::printf("     row %d of V=%d: token %d, expected %d (t %g k %d p %g m %g)\n", r, V, got[r], c.token,
                            rows[r].temperature, rows[r].topK, rows[r].topP, rows[r].minP);
            if ((rows[r].flags & 4) && c.token >= 0 && got[r] == c.token)
                wrongLogprobs += !(std::fabs(gotLogprobs[r] - c.logprob) <= 1e-5f * (1 + std::fabs(c.logprob)));
            if ((rows[r].flags & 1) && c.token >= 0) states[offset + c.token] = (states[offset + c.token] | 0x80000000u) + 1;
        }
        wrong += got[live] != -1;
        wrongStates += statesAt.read<unsigned>() != states;
        for (auto& row : rows) row.position++;
    }
    char text[160];
    std::snprintf(text, sizeof text, "%d wrong tokens of %d, %d wrong log-probabilities, %d wrong states", wrong, live * rounds,
                  wrongLogprobs, wrongStates);
    f.report("sample V=" + std::to_string(V) + (ties ? " ties" : ""), wrong + wrongLogprobs + wrongStates == 0, text);
    // The caller's next look: the rows' last tokens by slot, of the highest live row that owns it here.
    auto lastTokens = last.read<int>();
    auto got = tokens.read<int>();
    int wrongLast = 0;
    for (int s = 0; s < slots; s++) wrongLast += lastTokens[s] != got[s];
    f.report("sample V=" + std::to_string(V) + " last tokens", wrongLast == 0, std::to_string(wrongLast) + " wrong");
}

static void penalties(Fixture& f) {
    int V = 1000, length = 700, prompt = 300;
    std::vector<unsigned> states(3 * V, 0xffffffffu), expected(states);
    std::vector<int> history(length);
    for (auto& t : history) t = f.uniform(0, V / 3);
    for (int i = 0; i < V; i++) expected[V + i] = 0;
    for (int i = 0; i < length; i++) {
        auto& s = expected[V + history[i]];
        s = (s | 0x80000000u) + (i >= prompt);
    }
    auto at = Buffer::of(f.driver, states), tokens = Buffer::of(f.driver, history);
    f.kernels.launch("penalty_reset", 64, 1, 1, (Address)at, (Address)tokens, 1, prompt, length, V);
    f.driver.synchronize();
    f.report("penalty_reset", at.read<unsigned>() == expected, "state of one slot of three");
}

static void step(Fixture& f) {
    int S = 5, live = 4, ringSteps = 3;
    auto positions = Buffer::of(f.driver, std::vector<int>{1, 2, 3, 4, 5}), contexts = Buffer::of(f.driver, std::vector<int>{2, 3, 4, 5, 6});
    std::vector<Row> rows(S);
    auto rowsAt = Buffer::of(f.driver, rows), tokens = Buffer::of(f.driver, std::vector<int>{10, 11, 12, 13, 14});
    Buffer ids(f.driver, S * 4), ring(f.driver, ringSteps * S * 4);
    ids.poison();
    ring.poison();
    auto at = Buffer::of(f.driver, std::vector<int>{4}), count = Buffer::of(f.driver, std::vector<int>{live});
    f.kernels.launch(
        "advance", 1, 1, 1, (Address)positions, (Address)contexts, (Address)rowsAt, (Address)tokens, (Address)ids,
        (Address)ring, (Address)at, (Address)count, S, ringSteps);
    f.driver.synchronize();
    auto p = rowsAt.read<Row>();
    bool ok = positions.read<int>() == std::vector<int>{2, 3, 4, 5, 5} && contexts.read<int>() == std::vector<int>{3, 4, 5, 6, 6};
    ok &= ids.read<int>() == std::vector<int>{10, 11, 12, 13, -1} && at.read<int>()[0] == 5 && p[3].position == 1 && p[4].position == 0;
    auto r = ring.read<int>();
    ok &= r[4] == -1 && r[5] == 10 && r[8] == 13 && r[9] == -1 && r[10] == -1;
    f.report("advance", ok, "one step of four sequences");
}

void checkSampling(Fixture& f) {
    if (f.wants("sample")) {
        sample(f, 49152, 2.5f, false);
        sample(f, 1003, 1, false);
        sample(f, 5000, 1.5f, true);
        sample(f, 40, 1, true);
    }
    if (f.wants("penalty_reset")) penalties(f);
    if (f.wants("advance")) step(f);
}
