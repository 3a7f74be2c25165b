#include "fixture.hpp"
#include <algorithm>

struct Product {
    const char* kernel;
    int M, live, N, K, flags;
    bool bias, residual;
};

static double activated(double x, int flags) {
    return flags & 2 ? x / (1 + std::exp(-x)) : 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static void product(Fixture& f, const Product& p) {
    if (!f.wants(p.kernel)) return;
    int M = p.M, N = p.N, K = p.K;
    auto a = f.normal((std::size_t)M * K), w = f.normal((std::size_t)N * K, 1 / std::sqrt((float)K));
    auto bias = f.normal(N), residual = f.normal((std::size_t)M * N);
    std::vector<float> af(a.size()), wf(w.size());
    for (std::size_t i = 0; i < a.size(); i++) af[i] = toFloat(a[i]);
    for (std::size_t i = 0; i < w.size(); i++) wf[i] = toFloat(w[i]);
    bool gated = p.flags & 6;
    std::vector<double> sums((std::size_t)p.live * N), expected;
    for (int m = 0; m < p.live; m++)
        for (int n = 0; n < N; n++) {
            double sum = p.bias ? toFloat(bias[n]) : 0;
            const float *x = &af[(std::size_t)m * K], *y = &wf[(std::size_t)n * K];
            for (int k = 0; k < K; k++) sum += (double)x[k] * y[k];
            if (p.residual) sum += toFloat(residual[(std::size_t)m * N + n]);
            sums[(std::size_t)m * N + n] = sum;
        }
    int columns = gated ? N / 2 : N;
    for (int m = 0; m < p.live; m++)
        for (int n = 0; n < columns; n++) {
            const double* row = &sums[(std::size_t)m * N];
            expected.push_back(gated ? activated(row[n], p.flags) * row[N / 2 + n] : row[n]);
        }
    bool isFloat = p.flags & 1;
    Buffer c(f.driver, (std::size_t)M * columns * (isFloat ? 4 : 2));
    c.poison();
    auto aAt = Buffer::of(f.driver, a), wAt = Buffer::of(f.driver, w), biasAt = Buffer::of(f.driver, bias);
    auto residualAt = Buffer::of(f.driver, residual), count = Buffer::of(f.driver, std::vector<int>{p.live});
    Buffer workspace(f.driver, f.kernels.property("workspace.bytes"));
    workspace.zero();
    std::string name = p.kernel;
    unsigned x = f.driver.multiprocessors() * f.kernels.property(name + ".blocksPerSm", 1), y = 1;
    if (name == "gemm_tile" || name == "gemm_simple") {
        int tileN = f.kernels.property(name + ".tileN"), tileM = f.kernels.property(name + ".tileM");
        x = (N + tileN - 1) / tileN, y = (M + tileM - 1) / tileM;
    }
    auto aMap = MatrixMap::ofRows(f.driver, aAt, M, K);
    auto wMap = MatrixMap::ofGateAndUp(f.driver, wAt, std::max(8, N / 16 * 8), K);
    auto run = [&](Address target, Address added) {
        if (name == "gemm_gated") {
            f.kernels.launch(
                name, p.live % 2 ? 4 : x / 2 * 2, 1, 1, target, (Address)aMap, (Address)wMap, (Address)count, M, N, K, p.flags);
            f.driver.synchronize();
            return;
        }
        f.kernels.launch(
            name, x, y, 1, target, (Address)aAt, (Address)wAt, p.bias ? (Address)biasAt : (Address)0, added,
            (Address)workspace, (Address)count, M, N, K, p.flags);
        f.driver.synchronize();
    };
    run(c, p.residual ? (Address)residualAt : 0);
    char text[160];
    std::snprintf(text, sizeof text, "%s M=%d/%d N=%d K=%d flags=%d%s%s", p.kernel, p.live, M, N, K, p.flags,
                  p.bias ? " bias" : "", p.residual ? " residual" : "");
    double limit = isFloat ? 1e-4 : 4e-3;
    if (isFloat) {
        f.compare(text, c.read<float>(), expected, limit);
    } else {
        f.compare(text, c.read<bf16>(), expected, limit);
    }
    if (p.residual && !isFloat) {  // in place: c is the residual
        run(residualAt, residualAt);
        auto result = residualAt.read<bf16>();
        result.resize(expected.size());
        f.compare(std::string(text) + " in place", result, expected, limit);
    }
    auto head = workspace.read<int>();
    bool clean = true;
    for (int i = 0; i < 16384; i++) clean &= head[i] == 0;
    if (!clean) f.report(text, false, "arrival counters are not zero afterwards");
}

void checkGemm(Fixture& f) {
    struct Skinny {
        const char* name;
        int M;
    };
    for (auto s : {Skinny{"gemm_skinny_8", 8}, Skinny{"gemm_skinny_16", 16}, Skinny{"gemm_skinny_32", 32},
                   Skinny{"gemm_skinny_64", 64}, Skinny{"gemm_skinny_128", 128}}) {
        product(f, {s.name, s.M, s.M, 4096, 512, 0, false, true});
        product(f, {s.name, s.M, s.M / 2 + 1, 200, 136, 0, true, true});
        product(f, {s.name, s.M, 1, 6144, 264, 1, true, false});
        product(f, {s.name, s.M - 1, s.M - 1, 2 * 1032, 1096, 2, true, false});
        product(f, {s.name, s.M, s.M - 1, 2 * 4096, 520, 4, false, false});
        product(f, {s.name, s.M, s.M, 8, 8, 0, false, false});
        product(f, {s.name, s.M, s.M, 576, 1536, 1, false, true});
        product(f, {s.name, s.M, 0, 64, 64, 0, false, false});
        product(f, {s.name, s.M, s.M / 2 + 1, 128 * 99, 776, 0, true, true});  // several tiles a block, most of them shared
    }
    if (f.kernels.property("gemm_gated.threads", 0) > 0) {
        product(f, {"gemm_gated", 300, 290, 2 * 520, 200, 2, false, false});
        product(f, {"gemm_gated", 129, 129, 2 * 128, 1096, 4, false, false});
        product(f, {"gemm_gated", 5, 3, 2 * 1000, 8, 2, false, false});
        product(f, {"gemm_gated", 1030, 1025, 2 * 136, 264, 2, false, false});
        product(f, {"gemm_gated", 2304, 2304, 2 * 264, 72, 2, false, false});
    }
    product(f, {"gemm_simple", 70, 67, 200, 136, 0, true, true});
    product(f, {"gemm_simple", 3, 2, 2 * 72, 40, 2, true, false});
    product(f, {"gemm_simple", 3, 3, 2 * 72, 40, 4, false, false});
    product(f, {"gemm_simple", 65, 65, 72, 24, 1, true, false});
    product(f, {"gemm_tile", 300, 290, 520, 200, 0, true, true});
    product(f, {"gemm_tile", 128, 128, 128, 64, 1, false, false});
    product(f, {"gemm_tile", 5, 3, 1000, 8, 0, true, false});
    product(f, {"gemm_tile", 513, 513, 136, 1096, 0, false, true});
}
