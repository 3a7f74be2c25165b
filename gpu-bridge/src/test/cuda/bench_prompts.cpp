// Speed of what prompts take: prefill attention, the MLP with its gate, whole passes.
#include "bench.hpp"

/** The MLP's first product with its gate, for many rows: in one kernel, and by cuBLAS and silu_mul. */
void gates(Bench& b) {
    Cublas cublas(b.driver());
    const int I = 14336, K = 4096;
    auto& k = b.kernels();
    auto w = b.randomBuffer(4ull * I * K);
    auto wMap = MatrixMap::ofGateAndUp(b.driver(), w, I, K);
    for (int M : {512, 2048, 8192, 16384}) {
        auto a = b.randomBuffer(2ull * M * K), c = b.randomBuffer(2ull * M * I), gateUp = b.randomBuffer(4ull * M * I);
        auto aMap = MatrixMap::ofRows(b.driver(), a, M, K);
        std::string shape = std::to_string(M) + "x" + std::to_string(2 * I) + "x" + std::to_string(K);
        double bytes = 2.0 * ((double)M * K + 2.0 * I * K + (double)M * I);
        int inner = std::max(4, 65536 / M);  // long enough to meet the limit of power
        double us = b.microseconds(inner, [&](int) {
            k.launch("gemm_gated", b.driver().multiprocessors() / 2 * 2, 1, 1, (Address)c, (Address)aMap, (Address)wMap, (Address)0, M, 2 * I, K, 2);
        }, 5);
        b.row("gemm_gated", shape, us, bytes, 4.0 * M * I * K);
        if (!cublas.exists()) continue;
        us = b.microseconds(inner, [&](int) {
            cublas.product(gateUp, a, w, M, 2 * I, K);
            k.launch("silu_mul", (I + 2047) / 2048, M, 1, (Address)c, (Address)gateUp, (Address)0, I);
        }, 5);
        b.row("cublas, silu_mul", shape, us, bytes, 4.0 * M * I * K);
        us = b.microseconds(inner, [&](int) { cublas.product(gateUp, a, w, M, 2 * I, K); }, 5);
        b.row("cublas", shape, us, bytes, 4.0 * M * I * K);
    }
}

/** Queries of S sequences of n new tokens after context - n old ones, with what prefill attention needs to know of them. */
struct Prompts {
    int S, n, H = 32, G = 8, D = 128;
    Bench& b;
    Pool& pool;
    Buffer q, out, starts, contexts;
    MatrixMap queryMap, kvMap;

    Prompts(Bench& b, Pool& pool, int n)
        : S(pool.S), n(n), b(b), pool(pool), q(b.randomBuffer(2ull * S * n * H * D)), out(b.randomBuffer(2ull * S * n * H * D)),
          starts(Buffer::of(b.driver(), firstRows())), contexts(Buffer::of(b.driver(), std::vector<int>(S, pool.context - n))),
          queryMap(MatrixMap::ofQueries(b.driver(), q, S * n, H, D)), kvMap(MatrixMap::ofKv(b.driver(), pool.kv, pool.kv.bytes(), D)) {}

    std::vector<int> firstRows() const {
        std::vector<int> rows(S + 1);
        for (int s = 0; s <= S; s++) rows[s] = s * n;
        return rows;
    }

    void attend(const std::string& kernel, long layerOffset, Address workspace) {
        auto& k = b.kernels();
        int T = S * n;
        if (kernel == "attention_prefill") {
            int tile = k.property(kernel + ".tileM");
            k.launch(kernel, (T + tile - 1) / tile + S, H, 1, (Address)out, (Address)q, (Address)pool.kv, (Address)pool.tables,
                     (Address)starts, (Address)contexts, (Address)0, S, H, G, D, pool.maxBlocks, pool.blockBytes, layerOffset, 0.0883883f);
        } else {
            k.launch(kernel, b.driver().multiprocessors(), 1, 1, (Address)out, (Address)queryMap, (Address)kvMap, (Address)pool.tables,
                     (Address)starts, (Address)contexts, workspace, (Address)0, S, H, G, D, pool.maxBlocks, pool.blockBytes, layerOffset,
                     0.0883883f);
        }
    }
};

void promptAttentions(Bench& b) {
    const int H = 32, G = 8, D = 128;
    Buffer workspace(b.driver(), b.kernels().property("workspace.bytes"));
    workspace.zero();
    for (auto shape : {std::pair{16, 1024}, {1, 2048}, {1, 8192}, {1, 32768}}) {
        auto [S, n] = shape;
        Pool pool(b, S, n, 1);
        Prompts prompts(b, pool, n);
        for (std::string kernel : {"attention_prefill", "attention_prefill_tma", "attention_prefill_tma_2"}) {
            if (b.kernels().property(kernel + ".threads", 0) == 0) continue;
            double us = b.microseconds(4, [&](int) { prompts.attend(kernel, 0, workspace); }, 5);
            b.row(kernel, std::to_string(S) + "x" + std::to_string(n), us, 4.0 * S * n * (H + G) * D, 2.0 * S * H * D * n * (double)(n + 1));
        }
    }
}

/** Whole passes over prompts of the Llama-3.1-8B shape, without the head: 32 layers in one graph, products by cuBLAS. */
void prefills(Bench& b) {
    const int H = 32, G = 8, D = 128, E = 4096, I = 14336, layers = 32;
    const std::size_t qkvBytes = 2ull * 6144 * E, oBytes = 2ull * E * E, guBytes = 2ull * 2 * I * E, downBytes = 2ull * I * E;
    Cublas cublas(b.driver());
    if (!cublas.exists()) return;
    auto weights = b.randomBuffer(layers * (qkvBytes + oBytes + guBytes + downBytes)), norms = b.randomBuffer(2 * E);
    Buffer workspace(b.driver(), b.kernels().property("workspace.bytes"));
    workspace.zero();
    auto frequencies = Buffer::of(b.driver(), std::vector<double>(D / 2, 0.01));
    auto& k = b.kernels();
    std::vector<MatrixMap> gateMaps;
    for (int l = 0; l < layers; l++)
        gateMaps.push_back(MatrixMap::ofGateAndUp(
            b.driver(), (Address)weights + (qkvBytes + oBytes + guBytes + downBytes) * l + qkvBytes + oBytes, I, E));
    std::string attention = k.property("attention_prefill_tma_2.threads", 0) == 0 ? "attention_prefill" : "attention_prefill_tma_2";
    for (auto shape : {std::pair{1, 2048}, {1, 8192}, {16, 1024}}) {
        auto [S, n] = shape;
        int T = S * n;
        Pool pool(b, S, n, layers);
        Prompts prompts(b, pool, n);
        std::vector<int> sequence(T), positions(T);
        for (int t = 0; t < T; t++) sequence[t] = t / n, positions[t] = t % n;
        auto sequenceAt = Buffer::of(b.driver(), sequence), positionsAt = Buffer::of(b.driver(), positions);
        auto residual = b.randomBuffer(2ull * T * E), x = b.randomBuffer(2ull * T * E), qkv = b.randomBuffer(2ull * T * 6144);
        auto gateUp = b.randomBuffer(4ull * T * I), act = b.randomBuffer(2ull * T * I);
        std::string without;
        auto has = [&](const char* part) { return without.find(part) == std::string::npos; };
        auto norm = [&] {
            if (has("norm")) k.launch("rmsnorm", T, 1, 1, (Address)x, (Address)residual, (Address)norms, (Address)0, E, 1e-5f);
        };
        auto xMap = MatrixMap::ofRows(b.driver(), x, T, E);
        bool gated = true;
        auto mlp = [&](int l, Address at) {
            if (gated && has("products")) {
                k.launch("gemm_gated", b.driver().multiprocessors() / 2 * 2, 1, 1, (Address)act, (Address)xMap, (Address)gateMaps[l],
                         (Address)0, T, 2 * I, E, 2);
                return;
            }
            if (has("products")) cublas.product(gateUp, x, at, T, 2 * I, E);
            if (has("silu")) k.launch("silu_mul", (I + 2047) / 2048, T, 1, (Address)act, (Address)gateUp, (Address)0, I);
        };
        auto pass = [&](int) {
            for (int l = 0; l < layers; l++) {
                long layerOffset = pool.blockBytes / layers * l;
                Address at = (Address)weights + (qkvBytes + oBytes + guBytes + downBytes) * l;
                norm();
                if (has("products")) cublas.product(qkv, x, at, T, 6144, E);
                if (has("rope"))
                    k.launch("qkv_rope_write", T, 1, 1, (Address)prompts.q, (Address)pool.kv, (Address)qkv, (Address)0, (Address)0,
                             (Address)0, (Address)frequencies, (Address)positionsAt, (Address)sequenceAt, (Address)pool.tables, (Address)0,
                             H, G, D, pool.maxBlocks, pool.blockBytes, layerOffset, 1e-5f, 1.f);
                if (has("attention")) prompts.attend(attention, layerOffset, workspace);
                if (has("products")) cublas.product(residual, prompts.out, at + qkvBytes, T, E, E, true);
                norm();
                mlp(l, at + qkvBytes + oBytes);
                if (has("products")) cublas.product(residual, act, at + qkvBytes + oBytes + guBytes, T, E, I, true);
            }
        };
        double productFlop = 2 * 6.98e9 * T, attentionFlop = 2.0 * layers * S * H * D * n * (double)(n + 1);
        for (std::string left : {"", "gate", "attention", "attention rope norm silu", "products", "products attention"}) {
            gated = left != "gate";
            without = gated ? left : "";
            double us = b.microseconds(1, pass, 3);
            b.row(left.empty() ? "prompts" : gated ? "prompts without " + without : "prompts, cublas and silu_mul", std::to_string(S) + "x" + std::to_string(n), us, 0,
                  (has("products") ? productFlop : 0) + (has("attention") ? attentionFlop : 0));
        }
    }
}
