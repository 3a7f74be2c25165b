#include "fixture.hpp"

static const double BF16_LIMIT = 4e-3;

static void gather(Fixture& f, int T, int live, int E) {
    int V = 77;
    auto table = f.normal((std::size_t)V * E);
    std::vector<int> ids(T), last{5, 76, 0};
    for (auto& id : ids) id = f.uniform(0, V - 1);
    ids[0] = -3;
    if (T > 2) ids[1] = -2, ids[2] = V + 4;
    std::vector<double> expected;
    for (int t = 0; t < live; t++)
        for (int e = 0; e < E; e++) {
            int id = ids[t] < 0 ? last[-1 - ids[t]] : ids[t];
            expected.push_back(id < V ? toFloat(table[(std::size_t)id * E + e]) : 0);
        }
    auto out = Buffer(f.driver, (std::size_t)T * E * 2);
    out.poison();
    auto tableAt = Buffer::of(f.driver, table), idsAt = Buffer::of(f.driver, ids), lastAt = Buffer::of(f.driver, last);
    auto count = Buffer::of(f.driver, std::vector<int>{live});
    f.kernels.launch("embed_gather", T, 1, 1, (Address)out, (Address)tableAt, (Address)idsAt, (Address)lastAt, (Address)count, E, V);
    f.driver.synchronize();
    f.compare("embed_gather E=" + std::to_string(E), out.read<bf16>(), expected, 0);
    std::vector<int> rows(T);
    for (auto& r : rows) r = f.uniform(0, V - 1);
    expected.clear();
    for (int t = 0; t < live; t++)
        for (int e = 0; e < E; e++) expected.push_back(toFloat(table[(std::size_t)rows[t] * E + e]));
    auto rowsAt = Buffer::of(f.driver, rows);
    out.poison();
    f.kernels.launch("gather_rows", T, 1, 1, (Address)out, (Address)tableAt, (Address)rowsAt, (Address)count, E);
    f.driver.synchronize();
    f.compare("gather_rows E=" + std::to_string(E), out.read<bf16>(), expected, 0);
}

static void norm(Fixture& f, int T, int live, int E, bool add) {
    auto in = f.normal((std::size_t)T * E, 3), delta = f.normal((std::size_t)T * E), weight = f.normal(E);
    std::vector<double> expected, sums;
    for (int t = 0; t < live; t++) {
        double square = 0;
        for (int e = 0; e < E; e++) {
            std::size_t i = (std::size_t)t * E + e;
            double x = toFloat(add ? toBf16(toFloat(in[i]) + toFloat(delta[i])) : in[i]);
            sums.push_back(x);
            square += x * x;
        }
        for (int e = 0; e < E; e++)
            expected.push_back(sums[(std::size_t)t * E + e] / std::sqrt(square / E + 1e-5) * toFloat(weight[e]));
    }
    Buffer out(f.driver, (std::size_t)T * E * 2);
    out.poison();
    auto inAt = Buffer::of(f.driver, in), deltaAt = Buffer::of(f.driver, delta), weightAt = Buffer::of(f.driver, weight);
    auto count = Buffer::of(f.driver, std::vector<int>{live});
    std::string name = (add ? "add_rmsnorm E=" : "rmsnorm E=") + std::to_string(E);
    if (add) {
        f.kernels.launch("add_rmsnorm", T, 1, 1, (Address)out, (Address)inAt, (Address)deltaAt, (Address)weightAt, (Address)count, E, 1e-5f);
    } else {
        f.kernels.launch("rmsnorm", T, 1, 1, (Address)out, (Address)inAt, (Address)weightAt, (Address)count, E, 1e-5f);
    }
    f.driver.synchronize();
    f.compare(name, out.read<bf16>(), expected, BF16_LIMIT);
    if (add) {
        auto residual = inAt.read<bf16>();
        residual.resize((std::size_t)live * E);
        f.compare(name + " residual", residual, sums, 0);
    }
}

static void gated(Fixture& f, int T, int live, int I, bool gelu) {
    auto in = f.normal((std::size_t)T * 2 * I, 2);
    std::vector<double> expected;
    for (int t = 0; t < live; t++)
        for (int i = 0; i < I; i++) {
            double g = toFloat(in[(std::size_t)t * 2 * I + i]), u = toFloat(in[(std::size_t)t * 2 * I + I + i]);
            double a = gelu ? 0.5 * g * (1 + std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g))) : g / (1 + std::exp(-g));
            expected.push_back(a * u);
        }
    Buffer out(f.driver, (std::size_t)T * I * 2);
    out.poison();
    auto inAt = Buffer::of(f.driver, in), count = Buffer::of(f.driver, std::vector<int>{live});
    std::string name = gelu ? "gelu_mul" : "silu_mul";
    f.kernels.launch(name, (I + 2047) / 2048, T, 1, (Address)out, (Address)inAt, (Address)count, I);
    f.driver.synchronize();
    f.compare(name + " I=" + std::to_string(I), out.read<bf16>(), expected, BF16_LIMIT);
}

/** Row of KvLayout: [layer][K|V][kv head][16][D]. */
static std::size_t kvElement(int block, int blockElements, int layer, int part, int G, int head, int D, int position, int d) {
    return (std::size_t)block * blockElements + ((((std::size_t)layer * 2 + part) * G + head) * 16 + position % 16) * D + d;
}

static void rope(Fixture& f, int T, int live, int H, int G, int D, bool withBias, bool withNorms, float magnitude) {
    const int S = 3, maxBlocks = 5000 / 16, layers = 2, layer = 1, blocks = 64;
    int width = (H + 2 * G) * D, blockElements = layers * 2 * G * 16 * D;
    auto qkv = f.normal((std::size_t)T * width), bias = f.normal(width), qNorm = f.normal(D), kNorm = f.normal(D);
    RopeReference reference(D, 1e-6, magnitude);
    std::vector<int> positions(T), sequence(T), tables(S * maxBlocks);
    for (auto& b : tables) b = f.uniform(0, blocks - 1);
    for (int t = 0; t < T; t++) {
        sequence[t] = t % S;
        positions[t] = t == 0 ? 4987 : 16 * (t / S % maxBlocks) + t % 16;
        tables[sequence[t] * maxBlocks + positions[t] / 16] = t % blocks;  // its own block: no two tokens collide
    }
    std::vector<double> expectedQ, expectedKv;
    std::vector<std::size_t> kvIndices;
    for (int t = 0; t < live; t++)
        for (int h = 0; h < H + 2 * G; h++) {
            bool isValue = h >= H + G;
            const bf16* norm = withNorms && !isValue ? (h < H ? qNorm : kNorm).data() : nullptr;
            auto x = reference.head(&qkv[(std::size_t)t * width + h * D], withBias ? &bias[h * D] : nullptr, norm, !isValue, positions[t]);
            for (int d = 0; d < D; d++) {
                if (h < H) {
                    expectedQ.push_back(x[d]);
                } else {
                    int block = tables[sequence[t] * maxBlocks + positions[t] / 16];
                    expectedKv.push_back(x[d]);
                    kvIndices.push_back(kvElement(block, blockElements, layer, isValue, G, h - H - (isValue ? G : 0), D, positions[t], d));
                }
            }
        }
    Buffer q(f.driver, (std::size_t)T * H * D * 2), kv(f.driver, (std::size_t)blocks * blockElements * 2);
    q.poison();
    kv.poison();
    auto qkvAt = Buffer::of(f.driver, qkv), biasAt = Buffer::of(f.driver, bias), qNormAt = Buffer::of(f.driver, qNorm);
    auto kNormAt = Buffer::of(f.driver, kNorm), frequenciesAt = Buffer::of(f.driver, reference.frequencies);
    auto positionsAt = Buffer::of(f.driver, positions), sequenceAt = Buffer::of(f.driver, sequence);
    auto tablesAt = Buffer::of(f.driver, tables), count = Buffer::of(f.driver, std::vector<int>{live});
    Address none = 0;
    f.kernels.launch(
        "qkv_rope_write", T, 1, 1, (Address)q, (Address)kv, (Address)qkvAt, withBias ? (Address)biasAt : none,
        withNorms ? (Address)qNormAt : none, withNorms ? (Address)kNormAt : none, (Address)frequenciesAt,
        (Address)positionsAt, (Address)sequenceAt, (Address)tablesAt, (Address)count, H, G, D, maxBlocks,
        (long)blockElements * 2, (long)layer * 2 * G * 16 * D * 2, 1e-6f, magnitude);
    f.driver.synchronize();
    std::string name = "qkv_rope_write H=" + std::to_string(H) + " G=" + std::to_string(G) + " D=" + std::to_string(D);
    f.compare(name + " q", q.read<bf16>(), expectedQ, BF16_LIMIT);
    auto stored = kv.read<bf16>();
    std::vector<bf16> written;
    for (auto i : kvIndices) {
        written.push_back(stored[i]);
        stored[i] = 0xffff;
    }
    f.compare(name + " kv", written, expectedKv, BF16_LIMIT);
    f.compare(name + " elsewhere", stored, {}, 0);
}

static std::uint64_t mixed(std::uint64_t v) {
    v = (v ^ v >> 33) * 0xff51afd7ed558ccdull;
    v = (v ^ v >> 33) * 0xc4ceb9fe1a85ec53ull;
    return v ^ v >> 33;
}

/** Some blocks of a pool, one of them twice; the sums are added to. */
static void blockSums(Fixture& f, long blockBytes) {
    std::vector<std::uint64_t> pool(5 * blockBytes / 8), expected, start{7, 0, 1ull << 63, 3};
    for (auto& word : pool) word = f.random();
    std::vector<int> blocks{4, 0, 2, 0};
    for (std::size_t b = 0; b < blocks.size(); b++) {
        std::uint64_t sum = start[b];
        for (long i = 0; i < blockBytes / 8; i++)
            sum += mixed(pool[blocks[b] * (blockBytes / 8) + i] + (i + 1) * 0x9e3779b97f4a7c15ull);
        expected.push_back(sum);
    }
    auto sums = Buffer::of(f.driver, start), kv = Buffer::of(f.driver, pool);
    auto blocksAt = Buffer::of(f.driver, blocks);
    long slice = f.kernels.property("block_sum.bytes");
    f.kernels.launch(
        "block_sum", (blockBytes + slice - 1) / slice, blocks.size(), 1, (Address)sums, (Address)kv, (Address)blocksAt, blockBytes);
    f.driver.synchronize();
    f.report("block_sum " + std::to_string(blockBytes), sums.read<std::uint64_t>() == expected, "sums of " + std::to_string(blocks.size()) + " blocks");
}

void checkElementwise(Fixture& f) {
    if (f.wants("block_sum"))
        for (long bytes : {16L, 1040L, 32768L, 163856L}) blockSums(f, bytes);
    if (f.wants("gather"))
        for (int E : {8, 576, 4096}) gather(f, 5, 4, E);
    if (f.wants("rmsnorm"))
        for (int E : {8, 576, 4096, 4104, 12288})
            for (bool add : {false, true}) norm(f, 4, 3, E, add);
    if (f.wants("_mul"))
        for (int I : {8, 1536, 14336, 2056})
            for (bool gelu : {false, true}) gated(f, 3, 2, I, gelu);
    if (f.wants("qkv_rope_write")) {
        rope(f, 9, 7, 32, 8, 128, false, false, 1);
        rope(f, 5, 5, 9, 3, 64, true, false, 1);
        rope(f, 3, 2, 16, 1, 256, false, true, 1.25f);
        rope(f, 4, 4, 4, 2, 72, true, true, 1);
        rope(f, 2, 2, 2, 2, 8, true, true, 1);
    }
}
