// What the benchmarks share: timing by replays of a graph, rows of results, cuBLAS of the host, KV pools.
#pragma once
#include "fixture.hpp"
#include <algorithm>
#include <functional>

/** cuBLAS of the host, when it has one. */
class Cublas {
  public:
    explicit Cublas(Driver& d) {
        for (auto name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
            if (library == nullptr) library = dlopen(name, RTLD_NOW);
        if (library == nullptr || call<int>("cublasCreate_v2", &handle) != 0) {
            library = nullptr;
            return;
        }
        call<int>("cublasSetStream_v2", handle, d.stream);
    }

    bool exists() const { return library != nullptr; }

    /** c [M][N] = a [M][K] times the transpose of w [N][K] (+ c), bf16. */
    void product(Address c, Address a, Address w, int M, int N, int K, bool add = false) {
        float one = 1, zero = add;
        int status = call<int>(
            "cublasGemmEx", handle, 1, 0, N, M, K, (const void*)&one, (const void*)w, 14, K, (const void*)a, 14, K,
            (const void*)&zero, (void*)c, 14, N, 68, -1);
        if (status != 0) throw std::runtime_error("cublasGemmEx failed with status " + std::to_string(status));
    }

  private:
    template <class R, class... A>
    R call(const char* name, A... arguments) {
        return reinterpret_cast<R (*)(A...)>(dlsym(library, name))(arguments...);
    }

    void* library = nullptr;
    void* handle = nullptr;
};

struct Bench {
    Fixture& f;
    std::ofstream out;
    bool first = true;
    double readBytesPerSecond = 0;

    std::vector<bf16> seed;

    Bench(Fixture& f, const std::string& path, bool uniform)
        : f(f), out(path), seed(uniform ? f.uniformValues(1 << 22, 1e-3f) : f.normal(1 << 22, 0.02f)) {
        out << "[\n";
    }
    ~Bench() { out << "\n]\n"; }

    Driver& driver() { return f.driver; }
    Kernels& kernels() { return f.kernels; }

    Buffer randomBuffer(std::size_t bytes) {
        Buffer b(driver(), bytes);
        std::size_t filled = std::min(bytes, seed.size() * 2);
        driver().call("cuMemcpyHtoD_v2", (Address)b, (const void*)seed.data(), filled);
        while (filled < bytes) {
            std::size_t more = std::min(filled, bytes - filled);
            driver().call("cuMemcpyDtoD_v2", (Address)b + filled, (Address)b, more);
            filled += more;
        }
        return b;
    }

    /** Median microseconds of one call of body(i), of repeats graphs of inner calls each. */
    double microseconds(int inner, const std::function<void(int)>& body, int repeats = 7) {
        auto& d = driver();
        void *graph, *executable, *start, *end;
        body(0);
        d.synchronize();
        d.call("cuStreamBeginCapture_v2", d.stream, 2);
        for (int i = 0; i < inner; i++) body(i);
        d.call("cuStreamEndCapture", d.stream, &graph);
        d.call("cuGraphInstantiateWithFlags", &executable, graph, 0ull);
        d.call("cuEventCreate", &start, 0u);
        d.call("cuEventCreate", &end, 0u);
        std::vector<double> times;
        for (int r = 0; r < repeats + 1; r++) {
            d.call("cuEventRecord", start, d.stream);
            d.call("cuGraphLaunch", executable, d.stream);
            d.call("cuEventRecord", end, d.stream);
            d.synchronize();
            float ms;
            d.call("cuEventElapsedTime", &ms, start, end);
            if (r > 0) times.push_back(ms * 1000.0 / inner);
        }
        d.call("cuGraphExecDestroy", executable);
        d.call("cuGraphDestroy", graph);
        std::sort(times.begin(), times.end());
        spread = (times.back() - times.front()) / times[times.size() / 2];
        return times[times.size() / 2];
    }

    double spread = 0;

    void row(const std::string& kernel, const std::string& shape, double us, double bytes, double operations) {
        double rate = bytes / us * 1e-6, share = bytes / us * 1e6 / readBytesPerSecond;
        std::printf("%-28s %-40s %9.2f us  %6.3f TB/s (%3.0f %% of read)  %6.1f TFLOP/s  spread %.1f %%\n", kernel.c_str(),
                    shape.c_str(), us, rate, 100 * share, operations / us * 1e-6, 100 * spread);
        std::fflush(stdout);
        out << (first ? "" : ",\n") << "{\"kernel\": \"" << kernel << "\", \"shape\": \"" << shape << "\", \"us\": " << us
            << ", \"bytes\": " << bytes << ", \"operations\": " << operations << ", \"shareOfRead\": " << share
            << ", \"spread\": " << spread << "}";
        out.flush();
        first = false;
    }
};

/** KV of S sequences in one pool, blocks of the sequences interleaved. */
struct Pool {
    int S, context, maxBlocks;
    long blockBytes;
    Buffer kv, tables, contexts;

    Pool(Bench& b, int S, int context, int layers)
        : S(S), context(context), maxBlocks((context + 15) / 16), blockBytes(layers * 2L * 8 * 16 * 128 * 2),
          kv(b.randomBuffer((std::size_t)S * maxBlocks * blockBytes)), tables(Buffer::of(b.driver(), table())),
          contexts(Buffer::of(b.driver(), std::vector<int>(S, context))) {}

    std::vector<int> table() const {
        std::vector<int> t((std::size_t)S * maxBlocks);
        for (int s = 0; s < S; s++)
            for (int i = 0; i < maxBlocks; i++) t[(std::size_t)s * maxBlocks + i] = i * S + s;
        return t;
    }
};

void gates(Bench& b);
void promptAttentions(Bench& b);
void prefills(Bench& b);
