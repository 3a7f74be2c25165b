// Speed of each kernel, beside the copy and read bandwidth and cuBLAS of the same run, and of whole decode steps.
#include "bench.hpp"

static void ceilings(Bench& b) {
    std::size_t bytes = 2ull << 30;
    auto x = b.randomBuffer(bytes), y = b.randomBuffer(bytes);
    double us = b.microseconds(4, [&](int) { b.driver().call("cuMemcpyDtoDAsync_v2", (Address)y, (Address)x, bytes, b.driver().stream); });
    b.readBytesPerSecond = 1;
    double copy = 2.0 * bytes / us * 1e6;
    // Read bandwidth: a probe kernel that only reads.
    us = b.microseconds(4, [&](int i) {
        b.kernels().launch("read_probe", b.driver().multiprocessors() * 8, 1, 1, (Address)(i & 1 ? x : y), (long)bytes, (Address)y);
    });
    b.readBytesPerSecond = bytes / us * 1e6;
    b.row("read_probe", "2 GiB", us, bytes, 0);
    std::printf("copy %.3f TB/s, read %.3f TB/s\n", copy * 1e-12, b.readBytesPerSecond * 1e-12);
    b.row("copy", "2 GiB", 2.0 * bytes / copy * 1e6, 2.0 * bytes, 0);
}

static const char* skinny(int M) {
    return M <= 8 ? "gemm_skinny_8" : M <= 16 ? "gemm_skinny_16" : M <= 32 ? "gemm_skinny_32" : M <= 64 ? "gemm_skinny_64" : "gemm_skinny_128";
}

struct Layer {
    const char* name;
    int N, K, flags;
};
static const Layer LAYERS[] = {
    {"qkv", 6144, 4096, 0}, {"o", 4096, 4096, 0}, {"gate_up", 28672, 4096, 2}, {"down", 4096, 14336, 0}, {"head", 128256, 4096, 1}};

static void gemms(Bench& b) {
    Cublas cublas(b.driver());
    auto a = b.randomBuffer(128 * 14336 * 2);
    Buffer c(b.driver(), 128ull * 128256 * 4);
    Buffer workspace(b.driver(), b.kernels().property("workspace.bytes"));
    workspace.zero();
    for (const auto& l : LAYERS) {
        int copies = std::max(2, (int)(300e6 / (2.0 * l.N * l.K)) + 1);  // more than the L2 holds
        std::size_t each = 2ull * l.N * l.K;
        auto w = b.randomBuffer(each * copies);
        for (int M : {1, 8, 16, 32, 64, 128}) {
            double bytes = 2.0 * ((double)l.N * l.K + (double)M * l.K + (double)M * l.N);
            std::string shape = std::string(l.name) + " M=" + std::to_string(M) + " N=" + std::to_string(l.N) + " K=" + std::to_string(l.K);
            for (bool overlap : {false, true}) {
                b.kernels().dependentLaunch = overlap;
                std::string name = skinny(M);
                double us = b.microseconds(2 * copies, [&](int i) {
                    b.kernels().launch(
                        name, b.driver().multiprocessors() * b.kernels().property(name + ".blocksPerSm", 1), 1, 1,
                        (Address)c, (Address)a, (Address)w + each * (i % copies), (Address)0, (Address)0,
                        (Address)workspace, (Address)0, M, l.N, l.K, l.flags);
                });
                b.row(name + (overlap ? " pdl" : ""), shape, us, bytes, 2.0 * M * l.N * l.K);
            }
            b.kernels().dependentLaunch = false;
            if (!cublas.exists()) continue;
            double us = b.microseconds(2 * copies, [&](int i) { cublas.product(c, a, (Address)w + each * (i % copies), M, l.N, l.K); });
            b.row("cublas", shape, us, bytes, 2.0 * M * l.N * l.K);
        }
    }
}

static void tiles(Bench& b) {
    Cublas cublas(b.driver());
    for (auto shape : {std::vector<int>{2048, 4096, 4096}, {2048, 28672, 4096}, {8192, 8192, 8192}}) {
        int M = shape[0], N = shape[1], K = shape[2];
        auto a = b.randomBuffer(2ull * M * K), w = b.randomBuffer(2ull * N * K);
        Buffer c(b.driver(), 2ull * M * N);
        std::string text = std::to_string(M) + "x" + std::to_string(N) + "x" + std::to_string(K);
        int tileM = b.kernels().property("gemm_tile.tileM"), tileN = b.kernels().property("gemm_tile.tileN");
        double us = b.microseconds(3, [&](int) {
            b.kernels().launch(
                "gemm_tile", (N + tileN - 1) / tileN, (M + tileM - 1) / tileM, 1, (Address)c, (Address)a, (Address)w,
                (Address)0, (Address)0, (Address)0, (Address)0, M, N, K, 0);
        }, 3);
        double bytes = 2.0 * ((double)M * K + (double)N * K + (double)M * N);
        b.row("gemm_tile", text, us, bytes, 2.0 * M * N * K);
        if (cublas.exists()) {
            us = b.microseconds(3, [&](int) { cublas.product(c, a, w, M, N, K); }, 3);
            b.row("cublas", text, us, bytes, 2.0 * M * N * K);
        }
    }
}

/** Two blocks a multiprocessor. */
static int decodeSplits(int multiprocessors, int G, int S) { return std::clamp((2 * multiprocessors + G * S - 1) / (G * S), 1, 64); }

static void attentions(Bench& b) {
    const int H = 32, G = 8, D = 128, layers = 8;
    Buffer workspace(b.driver(), b.kernels().property("workspace.bytes"));
    workspace.zero();
    for (auto shape : {std::pair{1, 1024}, {8, 1024}, {16, 1024}, {32, 1024}, {64, 1024}, {128, 1024}, {16, 8192}, {1, 32768}}) {
        auto [S, context] = shape;
        Pool pool(b, S, context, layers);
        auto q = b.randomBuffer((std::size_t)S * H * D * 2), out = b.randomBuffer((std::size_t)S * H * D * 2);
        int splits = decodeSplits(b.driver().multiprocessors(), G, S);
        double us = b.microseconds(layers * 2, [&](int i) {
            b.kernels().launch(
                "attention_decode", splits, G, S, (Address)out, (Address)q, (Address)pool.kv, (Address)pool.tables,
                (Address)pool.contexts, (Address)workspace, (Address)0, H, G, D, pool.maxBlocks, pool.blockBytes,
                pool.blockBytes / layers * (i % layers), 0.0883883f);
        });
        b.row("attention_decode", "S=" + std::to_string(S) + " ctx=" + std::to_string(context) + " splits=" + std::to_string(splits),
              us, 4.0 * G * D * context * S + 4.0 * S * H * D, 4.0 * S * H * D * context);
    }
}

static void smallKernels(Bench& b) {
    const int H = 32, G = 8, D = 128, E = 4096, I = 14336, V = 128256;
    std::vector<double> frequencies(D / 2, 0.01);
    auto frequenciesAt = Buffer::of(b.driver(), frequencies);
    for (int T : {1, 64, 8192}) {
        int S = std::min(T, 64);
        Pool pool(b, S, T / S, 1);
        std::vector<int> positions(T), sequence(T);
        for (int t = 0; t < T; t++) positions[t] = t / S, sequence[t] = t % S;
        auto positionsAt = Buffer::of(b.driver(), positions), sequenceAt = Buffer::of(b.driver(), sequence);
        auto x = b.randomBuffer((std::size_t)T * E * 2), y = b.randomBuffer((std::size_t)T * E * 2), w = b.randomBuffer(E * 2);
        auto residual = b.randomBuffer((std::size_t)T * E * 2), qkv = b.randomBuffer((std::size_t)T * (H + 2 * G) * D * 2);
        auto gateUp = b.randomBuffer((std::size_t)T * 2 * I * 2), act = b.randomBuffer((std::size_t)T * I * 2);
        std::string shape = "T=" + std::to_string(T);
        auto& k = b.kernels();
        double us = b.microseconds(20, [&](int) { k.launch("rmsnorm", T, 1, 1, (Address)y, (Address)x, (Address)w, (Address)0, E, 1e-5f); });
        b.row("rmsnorm", shape, us, 4.0 * T * E, 0);
        us = b.microseconds(20, [&](int) { k.launch("add_rmsnorm", T, 1, 1, (Address)y, (Address)residual, (Address)x, (Address)w, (Address)0, E, 1e-5f); });
        b.row("add_rmsnorm", shape, us, 8.0 * T * E, 0);
        us = b.microseconds(20, [&](int) {
            k.launch("qkv_rope_write", T, 1, 1, (Address)y, (Address)pool.kv, (Address)qkv, (Address)0, (Address)0, (Address)0,
                     (Address)frequenciesAt, (Address)positionsAt, (Address)sequenceAt, (Address)pool.tables, (Address)0, H, G, D,
                     pool.maxBlocks, pool.blockBytes, 0L, 1e-5f, 1.f);
        });
        b.row("qkv_rope_write", shape, us, 4.0 * T * (H + 2 * G) * D, 0);
        us = b.microseconds(20, [&](int) { k.launch("silu_mul", (I + 2047) / 2048, T, 1, (Address)act, (Address)gateUp, (Address)0, I); });
        b.row("silu_mul", shape, us, 6.0 * T * I, 0);
    }
    struct Row {
        std::int64_t seed;
        std::int32_t position, slot;
        float temperature;
        std::int32_t topK;
        float topP, minP, penalties[3];
        std::int32_t flags, unused[4];
    };
    for (int R : {1, 64}) {
        auto logits = Buffer::of(b.driver(), b.f.normalFloats((std::size_t)R * V, 2.5f));
        Buffer tokens(b.driver(), R * 4), workspace(b.driver(), (std::size_t)R * b.kernels().property("sampling.workspaceRowBytes"));
        workspace.zero();
        for (auto kind : {"greedy", "all", "top-p 0.9", "top-k 50, top-p 0.9"}) {
            std::string name = kind;
            bool greedy = name == "greedy";
            Row r{1, 1, -1, greedy ? 0.f : 1.f, name[4] == 'k' ? 50 : 0, name[0] == 't' ? 0.9f : 1.f, 0, {1, 0, 0}, 0, {}};
            auto rows = Buffer::of(b.driver(), std::vector<Row>(R, r));
            double us = b.microseconds(10, [&](int) {
                for (auto kernel : {"sample_max", "sample_draw"})
                    if (!greedy || kernel[7] == 'm')
                        b.kernels().launch(
                            kernel, b.kernels().property("sampling.chunks"), R, 1, (Address)tokens, (Address)0,
                            (Address)logits, (Address)rows, (Address)0, (Address)0, (Address)0, (Address)workspace, (Address)0, V);
            });
            b.row("sample", "R=" + std::to_string(R) + " " + name, us, 4.0 * R * V, 0);
        }
    }
}

/** Whole decode steps of the Llama-3.1-8B shape: 32 layers, head and greedy sampling in one graph. */
static void steps(Bench& b) {
    const int H = 32, G = 8, D = 128, E = 4096, I = 14336, V = 128256, layers = 32;
    const std::size_t qkvBytes = 2ull * 6144 * E, oBytes = 2ull * E * E, guBytes = 2ull * 2 * I * E, downBytes = 2ull * I * E;
    auto weights = b.randomBuffer(layers * (qkvBytes + oBytes + guBytes + downBytes));
    auto head = b.randomBuffer(2ull * V * E), norms = b.randomBuffer(2 * E);
    Buffer workspace(b.driver(), b.kernels().property("workspace.bytes"));
    workspace.zero();
    auto frequencies = Buffer::of(b.driver(), std::vector<double>(D / 2, 0.01));
    auto& k = b.kernels();
    for (auto shape : {std::pair{1, 1280}, {2, 1280}, {4, 1280}, {8, 1280}, {16, 1280}, {32, 1280}, {64, 1280}, {128, 1280}, {16, 8448}}) {
        auto [S, context] = shape;
        Pool pool(b, S, context, layers);
        std::vector<int> order(S), last(S, context - 1);
        for (int s = 0; s < S; s++) order[s] = s;
        auto sequence = Buffer::of(b.driver(), order), positions = Buffer::of(b.driver(), last), ids = Buffer::of(b.driver(), order);
        auto residual = b.randomBuffer(2ull * S * E), x = b.randomBuffer(2ull * S * E), qkv = b.randomBuffer(2ull * S * 6144);
        auto q = b.randomBuffer(2ull * S * E), att = b.randomBuffer(2ull * S * E), act = b.randomBuffer(2ull * S * I);
        Buffer logits(b.driver(), 4ull * S * V), tokens(b.driver(), S * 4), rows(b.driver(), S * 64);
        Buffer sampling(b.driver(), (std::size_t)S * k.property("sampling.workspaceRowBytes"));
        sampling.zero();
        rows.zero();
        std::string gemm = skinny(S);
        unsigned blocks = b.driver().multiprocessors() * k.property(gemm + ".blocksPerSm", 1);
        int splits = decodeSplits(b.driver().multiprocessors(), G, S);
        int clusterSplits = 8;
        while (clusterSplits > 1
               && (clusterSplits * G * S > b.driver().multiprocessors()
                   || k.property("attention_decode_cluster_" + std::to_string(clusterSplits) + ".splits", 0) == 0))
            clusterSplits /= 2;
        struct {
            bool fused = true, cluster = true;
            std::string without;
        } how;
        struct Weight {
            Address at;
            int N, K, flags;
        };
        auto product = [&](Address c, Address a, Weight w, Address added) {
            k.launch(gemm, blocks, 1, 1, c, a, w.at, (Address)0, added, (Address)workspace, (Address)0, S, w.N, w.K, w.flags);
        };
        auto has = [&](const char* part) { return how.without.find(part) == std::string::npos; };
        auto step = [&](int) {
            k.launch("embed_gather", S, 1, 1, (Address)residual, (Address)head, (Address)ids, (Address)0, (Address)0, E, V);
            Weight headWeight{head, V, E, 1};
            for (int l = 0; l < layers; l++) {
                long layerOffset = pool.blockBytes / layers * l;
                Address at = (Address)weights + (qkvBytes + oBytes + guBytes + downBytes) * l;
                Weight qkvWeight{at, 6144, E, 0}, o{at + qkvBytes, E, E, 0}, gateUp{o.at + oBytes, 2 * I, E, 2};
                Weight down{gateUp.at + guBytes, E, I, 0};
                if (has("norm")) k.launch("rmsnorm", S, 1, 1, (Address)x, (Address)residual, (Address)norms, (Address)0, E, 1e-5f);
                product(qkv, x, qkvWeight, 0);
                if (how.fused) {
                    bool cluster = how.cluster && clusterSplits > 1;
                    if (has("attention"))
                        k.launch(cluster ? "attention_decode_cluster_" + std::to_string(clusterSplits) : "attention_decode_rope", cluster ? clusterSplits : splits, G, S, (Address)att, (Address)pool.kv, (Address)qkv, (Address)0, (Address)0,
                                 (Address)0, (Address)frequencies, (Address)pool.tables, (Address)pool.contexts, (Address)workspace,
                                 (Address)0, H, G, D, pool.maxBlocks, pool.blockBytes, layerOffset, 0.0883883f, 1e-5f, 1.f);
                } else {
                    k.launch("qkv_rope_write", S, 1, 1, (Address)q, (Address)pool.kv, (Address)qkv, (Address)0, (Address)0, (Address)0,
                             (Address)frequencies, (Address)positions, (Address)sequence, (Address)pool.tables, (Address)0, H, G, D,
                             pool.maxBlocks, pool.blockBytes, layerOffset, 1e-5f, 1.f);
                    k.launch("attention_decode", splits, G, S, (Address)att, (Address)q, (Address)pool.kv, (Address)pool.tables,
                             (Address)pool.contexts, (Address)workspace, (Address)0, H, G, D, pool.maxBlocks, pool.blockBytes,
                             layerOffset, 0.0883883f);
                }
                product(residual, att, o, residual);
                if (has("norm")) k.launch("rmsnorm", S, 1, 1, (Address)x, (Address)residual, (Address)norms, (Address)0, E, 1e-5f);
                product(act, x, gateUp, 0);
                product(residual, act, down, residual);
            }
            k.launch("rmsnorm", S, 1, 1, (Address)x, (Address)residual, (Address)norms, (Address)0, E, 1e-5f);
            product(logits, x, headWeight, 0);
            k.launch("sample_max", k.property("sampling.chunks"), S, 1, (Address)tokens, (Address)0, (Address)logits, (Address)rows,
                     (Address)0, (Address)0, (Address)0, (Address)sampling, (Address)0, V);
        };
        double bytes = weights.bytes() + head.bytes() + 131072.0 * context * S;
        std::string at = "batch " + std::to_string(S) + " ctx " + std::to_string(context);
        auto measure = [&](const std::string& name) {
            double us = b.microseconds(1, step, 9);
            b.row(name, at, us, has("attention") ? bytes : (double)(weights.bytes() + head.bytes()), 0);
        };
        k.dependentLaunch = false;
        measure("decode step");
        k.dependentLaunch = true;
        measure("decode step pdl");
        // What a part costs or gains within the overlapped step: the step without it.
        how.without = "norm";
        measure("decode step pdl without norm");
        how.without = "norm attention";
        measure("decode step pdl without norm attention");
        how.without = "";
        how.cluster = false;
        if (clusterSplits > 1) measure("decode step pdl, no cluster");
        how.fused = false;
        measure("decode step pdl, rope apart");
        how.fused = true;
        k.dependentLaunch = false;
    }
}

void benchmark(Fixture& f, const std::string& output, const std::string& what, bool uniform) {
    Bench b(f, output, uniform);
    ceilings(b);
    auto wants = [&](const char* name) { return what.empty() || what.find(name) != std::string::npos; };
    if (wants("small")) smallKernels(b);
    if (wants("attention")) attentions(b);
    if (wants("gates")) gates(b);
    if (wants("flash")) promptAttentions(b);
    if (wants("tile")) tiles(b);
    if (wants("skinny")) gemms(b);
    if (wants("steps")) steps(b);
    if (wants("prompts")) prefills(b);
}
