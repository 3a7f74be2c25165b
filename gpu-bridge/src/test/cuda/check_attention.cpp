#include "fixture.hpp"
#include <algorithm>

struct Paged {
    int S, G, D, maxBlocks, blockElements;
    long blockBytes, layerOffset;
    std::vector<bf16> kv;
    std::vector<int> tables;
};

/** Random KV for the given lengths in blocks of shuffled order; whatever no token owns is NaN. */
static Paged paged(Fixture& f, const std::vector<int>& lengths, int G, int D) {
    const int layers = 2, layer = 1;
    Paged p;
    p.S = lengths.size(), p.G = G, p.D = D, p.maxBlocks = 1;
    p.blockElements = layers * 2 * G * 16 * D;
    p.blockBytes = (long)p.blockElements * 2;
    p.layerOffset = (long)layer * 2 * G * 16 * D * 2;
    int blocks = 1;
    for (int n : lengths) {
        p.maxBlocks = std::max(p.maxBlocks, (n + 15) / 16);
        blocks += (n + 15) / 16;
    }
    std::vector<int> order(blocks);
    for (int i = 0; i < blocks; i++) order[i] = i;
    std::shuffle(order.begin(), order.end(), f.random);
    p.kv.assign((std::size_t)blocks * p.blockElements, 0xffff);
    p.tables.assign((std::size_t)p.S * p.maxBlocks, blocks - 1);
    std::normal_distribution<float> distribution(0, 1);
    int next = 0;
    for (int s = 0; s < p.S; s++)
        for (int t = 0; t < lengths[s]; t++) {
            if (t % 16 == 0) p.tables[s * p.maxBlocks + t / 16] = order[next++];
            for (int part = 0; part < 2; part++)
                for (int g = 0; g < G; g++) {
                    std::size_t at = (std::size_t)p.tables[s * p.maxBlocks + t / 16] * p.blockElements + p.layerOffset / 2
                        + (((std::size_t)part * G + g) * 16 + t % 16) * D;
                    for (int d = 0; d < D; d++) p.kv[at + d] = toBf16(distribution(f.random));
                }
        }
    return p;
}

static const bf16* kvRow(const Paged& p, int s, int part, int g, int t) {
    return &p.kv[(std::size_t)p.tables[s * p.maxBlocks + t / 16] * p.blockElements + p.layerOffset / 2
                 + (((std::size_t)part * p.G + g) * 16 + t % 16) * p.D];
}

/** Reference: one query over the first context tokens. */
static void attend(const Paged& p, int s, int g, const bf16* q, int context, double scale, std::vector<double>& out) {
    std::vector<double> weights(context);
    double max = -1e300, sum = 0;
    for (int t = 0; t < context; t++) {
        const bf16* k = kvRow(p, s, 0, g, t);
        double dot = 0;
        for (int d = 0; d < p.D; d++) dot += (double)toFloat(q[d]) * toFloat(k[d]);
        weights[t] = dot * scale;
        max = std::max(max, weights[t]);
    }
    std::vector<double> row(p.D, 0);
    for (int t = 0; t < context; t++) {
        double w = std::exp(weights[t] - max);
        sum += w;
        const bf16* v = kvRow(p, s, 1, g, t);
        for (int d = 0; d < p.D; d++) row[d] += w * toFloat(v[d]);
    }
    for (double x : row) out.push_back(context == 0 ? 0 : x / sum);
}

static std::string shape(int H, int G, int D) {
    return " H=" + std::to_string(H) + " G=" + std::to_string(G) + " D=" + std::to_string(D);
}

static void decode(Fixture& f, int H, int G, int D, std::vector<int> lengths, int splits, int live) {
    float scale = 1 / std::sqrt((float)D);
    auto p = paged(f, lengths, G, D);
    auto q = f.normal((std::size_t)p.S * H * D, 1.5f);
    std::vector<double> expected;
    for (int s = 0; s < live; s++)
        for (int h = 0; h < H; h++) attend(p, s, h / (H / G), &q[((std::size_t)s * H + h) * D], lengths[s], scale, expected);
    Buffer out(f.driver, q.size() * 2), workspace(f.driver, f.kernels.property("workspace.bytes"));
    workspace.zero();
    auto qAt = Buffer::of(f.driver, q), kvAt = Buffer::of(f.driver, p.kv), tables = Buffer::of(f.driver, p.tables);
    for (int s = live; s < p.S; s++) {  // rows beyond the live ones hold what they like
        lengths[s] = s % 2 ? 1234567890 : -5;
        for (int i = 0; i < p.maxBlocks; i++) p.tables[s * p.maxBlocks + i] = 0x7fffff00 - i;
    }
    tables.write(p.tables);
    auto context = Buffer::of(f.driver, lengths), count = Buffer::of(f.driver, std::vector<int>{live});
    std::string name = "attention_decode" + shape(H, G, D) + " splits=" + std::to_string(splits);
    for (int repeat = 0; repeat < 2; repeat++) {  // the second run finds the counters as the first left them
        out.poison();
        f.kernels.launch(
            "attention_decode", splits, G, p.S, (Address)out, (Address)qAt, (Address)kvAt, (Address)tables,
            (Address)context, (Address)workspace, (Address)count, H, G, D, p.maxBlocks, p.blockBytes, p.layerOffset, scale);
        f.driver.synchronize();
        f.compare(name, out.read<bf16>(), expected, 6e-3);
    }
}

/** The fused form: queries, and each sequence's newest key and value, come from the product's row. */
static void decodeRope(Fixture& f, const std::string& kernel, int H, int G, int D, std::vector<int> lengths, int splits, int live, bool extras) {
    float scale = 1 / std::sqrt((float)D);
    auto p = paged(f, lengths, G, D);
    int width = (H + 2 * G) * D;
    auto qkv = f.normal((std::size_t)p.S * width, 1.5f), bias = f.normal(width), qNorm = f.normal(D), kNorm = f.normal(D);
    RopeReference reference(D, 1e-6, extras ? 1.25 : 1);
    std::vector<double> expected, expectedRows;
    std::vector<std::size_t> fresh;  // elements of kv that the kernel writes
    for (int s = 0; s < live; s++) {
        int context = lengths[s];
        auto head = [&](int h, const std::vector<bf16>* norm) {
            return reference.head(&qkv[(std::size_t)s * width + h * D], extras ? &bias[h * D] : nullptr,
                                  norm && extras ? norm->data() : nullptr, norm != nullptr, context - 1);
        };
        for (int g = 0; g < G && context > 0; g++)
            for (int part = 0; part < 2; part++) {
                auto x = head(H + part * G + g, part ? nullptr : &kNorm);
                std::size_t at = kvRow(p, s, part, g, context - 1) - p.kv.data();
                for (int d = 0; d < D; d++) {
                    p.kv[at + d] = toBf16(x[d]);
                    fresh.push_back(at + d);
                    expectedRows.push_back(x[d]);
                }
            }
        for (int h = 0; h < H; h++) {
            std::vector<bf16> q;
            for (double x : head(h, &qNorm)) q.push_back(toBf16(x));
            attend(p, s, h / (H / G), q.data(), context, scale, expected);
        }
    }
    for (auto at : fresh) p.kv[at] = 0xffff;
    Buffer out(f.driver, (std::size_t)p.S * H * D * 2), workspace(f.driver, f.kernels.property("workspace.bytes"));
    workspace.zero();
    auto qkvAt = Buffer::of(f.driver, qkv), kvAt = Buffer::of(f.driver, p.kv), tables = Buffer::of(f.driver, p.tables);
    auto biasAt = Buffer::of(f.driver, bias), qNormAt = Buffer::of(f.driver, qNorm), kNormAt = Buffer::of(f.driver, kNorm);
    auto frequencies = Buffer::of(f.driver, reference.frequencies);
    for (int s = live; s < p.S; s++) lengths[s] = s % 2 ? 1234567890 : -5;
    auto context = Buffer::of(f.driver, lengths), count = Buffer::of(f.driver, std::vector<int>{live});
    std::string name = kernel + shape(H, G, D) + " splits=" + std::to_string(splits);
    Address none = 0;
    for (int repeat = 0; repeat < 2; repeat++) {
        out.poison();
        f.kernels.launch(
            kernel, splits, G, p.S, (Address)out, (Address)kvAt, (Address)qkvAt, extras ? (Address)biasAt : none,
            extras ? (Address)qNormAt : none, extras ? (Address)kNormAt : none, (Address)frequencies, (Address)tables,
            (Address)context, (Address)workspace, (Address)count, H, G, D, p.maxBlocks, p.blockBytes, p.layerOffset, scale,
            1e-6f, (float)reference.magnitude);
        f.driver.synchronize();
        f.compare(name, out.read<bf16>(), expected, 8e-3);
    }
    auto stored = kvAt.read<bf16>();
    std::vector<bf16> rows;
    for (auto at : fresh) {
        rows.push_back(stored[at]);
        stored[at] = 0xffff;
    }
    f.compare(name + " new rows", rows, expectedRows, 4e-3);
    f.report(name + " other rows", stored == p.kv, "as they were");
}

static void prefill(Fixture& f, const std::string& kernel, int H, int G, int D, std::vector<int> prefixes, std::vector<int> lengths, int firstRow, int live) {
    float scale = 1 / std::sqrt((float)D);
    std::vector<int> total, starts{firstRow};
    for (std::size_t s = 0; s < lengths.size(); s++) {
        total.push_back(prefixes[s] + lengths[s]);
        starts.push_back(starts.back() + lengths[s]);
    }
    auto p = paged(f, total, G, D);
    int T = starts.back();
    auto q = f.normal((std::size_t)T * H * D, 1.5f);
    std::vector<double> expected;
    for (int s = 0; s < live; s++)
        for (int i = 0; i < lengths[s]; i++)
            for (int h = 0; h < H; h++)
                attend(p, s, h / (H / G), &q[((std::size_t)(starts[s] + i) * H + h) * D], prefixes[s] + i + 1, scale, expected);
    Buffer out(f.driver, q.size() * 2), workspace(f.driver, f.kernels.property("workspace.bytes"));
    workspace.zero();
    auto qAt = Buffer::of(f.driver, q), kvAt = Buffer::of(f.driver, p.kv), tables = Buffer::of(f.driver, p.tables);
    auto startsAt = Buffer::of(f.driver, starts), context = Buffer::of(f.driver, prefixes);
    auto count = Buffer::of(f.driver, std::vector<int>{live});
    std::string name = kernel + shape(H, G, D) + " T=" + std::to_string(T);
    for (int repeat = 0; repeat < 2; repeat++) {  // the second run finds the counter as the first left it
        out.poison();
        if (kernel == "attention_prefill") {
            int tile = f.kernels.property("attention_prefill.tileM");
            f.kernels.launch(
                kernel, (T + tile - 1) / tile + p.S, H, 1, (Address)out, (Address)qAt, (Address)kvAt, (Address)tables,
                (Address)startsAt, (Address)context, (Address)count, p.S, H, G, D, p.maxBlocks, p.blockBytes, p.layerOffset, scale);
        } else {
            auto queryMap = MatrixMap::ofQueries(f.driver, qAt, T, H, D), kvMap = MatrixMap::ofKv(f.driver, kvAt, p.kv.size() * 2, D);
            int blocks = repeat == 0 ? f.driver.multiprocessors() : 4;
            f.kernels.launch(
                kernel, blocks, 1, 1, (Address)out, (Address)queryMap, (Address)kvMap, (Address)tables, (Address)startsAt,
                (Address)context, (Address)workspace, (Address)count, p.S, H, G, D, p.maxBlocks, p.blockBytes, p.layerOffset, scale);
            f.driver.synchronize();
        }
        f.driver.synchronize();
        auto actual = out.read<bf16>();
        std::vector<bf16> before(actual.begin(), actual.begin() + (std::size_t)firstRow * H * D);
        if (firstRow > 0) f.compare(name + " rows before", before, {}, 0);
        actual.erase(actual.begin(), actual.begin() + (std::size_t)firstRow * H * D);
        f.compare(name, actual, expected, 6e-3);
    }
}

void checkAttention(Fixture& f) {
    if (f.wants("attention_decode")) {
        decode(f, 32, 8, 128, {1024, 17, 1, 0, 700}, 33, 5);
        decode(f, 32, 8, 128, {100, 300}, 1, 1);
        decode(f, 9, 3, 64, {65, 16, 15, 333}, 8, 4);
        decode(f, 16, 1, 256, {129, 2}, 4, 2);
        decode(f, 4, 4, 80, {50, 1000}, 64, 2);
        decode(f, 2, 1, 8, {31}, 2, 1);
        decode(f, 14, 2, 64, {260}, 3, 1);
    }
    if (f.wants("attention_decode_rope")) {
        decodeRope(f, "attention_decode_rope", 32, 8, 128, {1024, 17, 1, 0, 700, 16}, 16, 6, false);
        decodeRope(f, "attention_decode_rope", 32, 8, 128, {100, 300, 33}, 1, 1, true);
        decodeRope(f, "attention_decode_rope", 9, 3, 64, {65, 16, 15, 333}, 8, 4, true);
        decodeRope(f, "attention_decode_rope", 16, 1, 256, {129, 2}, 4, 2, false);
        decodeRope(f, "attention_decode_rope", 4, 4, 80, {50, 1000}, 64, 2, false);
        decodeRope(f, "attention_decode_rope", 2, 1, 8, {31}, 2, 1, true);
        decodeRope(f, "attention_decode_rope", 14, 2, 64, {260, 641}, 3, 2, true);
    }
    for (int splits : {2, 4, 8}) {
        std::string name = "attention_decode_cluster_" + std::to_string(splits);
        if (!f.wants(name) || f.kernels.property(name + ".splits", 0) == 0) continue;
        decodeRope(f, name, 32, 8, 128, {1024, 17, 1, 0, 700, 16}, splits, 6, false);
        decodeRope(f, name, 32, 8, 128, {1281}, splits, 1, true);
        decodeRope(f, name, 9, 3, 64, {65, 16, 15, 333}, splits, 3, true);
        decodeRope(f, name, 15, 1, 128, {40, 129}, splits, 2, true);
        decodeRope(f, name, 4, 4, 80, {50, 1000}, splits, 2, false);
        decodeRope(f, name, 16, 1, 8, {31}, splits, 1, true);
    }
    for (std::string name : {"attention_prefill", "attention_prefill_tma", "attention_prefill_tma_2"}) {
        if (!f.wants(name) || f.kernels.property(name + ".threads", 0) == 0) continue;
        prefill(f, name, 8, 2, 128, {0, 37, 0}, {130, 65, 1}, 0, 3);
        prefill(f, name, 8, 4, 64, {0, 0, 300}, {64, 200, 257}, 5, 3);
        if (name == "attention_prefill") prefill(f, name, 2, 1, 256, {16}, {100}, 0, 1);
        if (name != "attention_prefill_tma_2") {
            prefill(f, name, 3, 1, 80, {0, 5}, {129, 40}, 0, 1);
            prefill(f, name, 2, 2, 8, {1}, {17}, 2, 1);
        }
        prefill(f, name, 6, 3, 72, {3, 0}, {100, 131}, 7, 2);
        prefill(f, name, 4, 1, 128, {511}, {385}, 0, 1);
        prefill(f, name, 32, 8, 128, {0, 256}, {128, 640}, 0, 2);
        prefill(f, name, 16, 4, 64, std::vector<int>(40, 9), std::vector<int>(40, 30), 0, 39);
    }
}
