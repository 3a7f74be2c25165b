// Random inputs, comparison with the double-precision reference, and the tally of checks.
#pragma once
#include "driver.hpp"
#include <cmath>
#include <cstring>
#include <random>

inline float toFloat(bf16 v) {
    std::uint32_t bits = (std::uint32_t)v << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}

inline bf16 toBf16(float f) {
    std::uint32_t bits;
    std::memcpy(&bits, &f, 4);
    if (f != f) return 0x7fff;
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct Fixture {
    Driver& driver;
    Kernels& kernels;
    std::mt19937_64 random;
    int passed = 0, failed = 0;
    std::string filter;

    Fixture(Driver& d, Kernels& k, std::uint64_t seed) : driver(d), kernels(k), random(seed) {}

    std::vector<bf16> normal(std::size_t n, float deviation = 1) {
        std::normal_distribution<float> distribution(0, deviation);
        std::vector<bf16> values(n);
        for (auto& v : values) v = toBf16(distribution(random));
        return values;
    }

    /** In [-range, range): what the engine's own benchmark takes for weights. */
    std::vector<bf16> uniformValues(std::size_t n, float range) {
        std::uniform_real_distribution<float> distribution(-range, range);
        std::vector<bf16> values(n);
        for (auto& v : values) v = toBf16(distribution(random));
        return values;
    }

    std::vector<float> normalFloats(std::size_t n, float deviation) {
        std::normal_distribution<float> distribution(0, deviation);
        std::vector<float> values(n);
        for (auto& v : values) v = distribution(random);
        return values;
    }

    int uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

    bool wants(const std::string& name) const { return name.find(filter) != std::string::npos; }

    void report(const std::string& name, bool ok, const std::string& detail) {
        (ok ? passed : failed)++;
        std::printf("%s %s: %s\n", ok ? "ok  " : "FAIL", name.c_str(), detail.c_str());
        std::fflush(stdout);
    }

    /** Relative error in norm, and the worst element's, of the first expected.size() outputs; beyond must be poison. */
    template <class T>
    void compare(const std::string& name, const std::vector<T>& actual, const std::vector<double>& expected, double limit) {
        double difference = 0, norm = 0, worst = 0;
        bool untouched = true;
        for (std::size_t i = 0; i < actual.size(); i++) {
            if (i >= expected.size()) {
                const auto* b = reinterpret_cast<const unsigned char*>(&actual[i]);
                for (std::size_t k = 0; k < sizeof(T); k++) untouched &= b[k] == 0xff;
                continue;
            }
            double d = (double)value(actual[i]) - expected[i];
            difference += d * d;
            norm += expected[i] * expected[i];
            worst = d != d ? INFINITY : std::max(worst, std::fabs(d));
        }
        double error = std::sqrt(difference / std::max(norm, 1e-30));
        double typical = std::sqrt(norm / std::max<std::size_t>(expected.size(), 1));
        // A single wrong element hides in the norm of many: it may be off by 30 limits of a typical one.
        bool ok = error <= limit && worst <= 30 * limit * std::max(typical, 1e-30) + 1e-30 && untouched;
        char text[160];
        std::snprintf(text, sizeof text, "error %.2e (limit %.0e), worst %.2e%s", error, limit, worst,
                      untouched ? "" : ", wrote beyond the live rows");
        report(name, ok || (expected.empty() && untouched), text);
    }

  private:
    static float value(bf16 v) { return toFloat(v); }
    static float value(float v) { return v; }
};

/** What rope.cuh makes of one head, in double: bias, norm when given, rotation when asked for. */
struct RopeReference {
    std::vector<double> frequencies;
    double eps, magnitude;

    RopeReference(int D, double eps, double magnitude) : frequencies(D / 2), eps(eps), magnitude(magnitude) {
        for (int i = 0; i < D / 2; i++) frequencies[i] = std::pow(500000.0, -2.0 * i / D);
    }

    std::vector<double> head(const bf16* in, const bf16* bias, const bf16* norm, bool rotated, int position) const {
        int half = frequencies.size(), D = 2 * half;
        std::vector<double> x(D);
        double square = 0;
        for (int d = 0; d < D; d++) {
            x[d] = toFloat(in[d]) + (bias ? toFloat(bias[d]) : 0);
            square += x[d] * x[d];
        }
        for (int d = 0; d < D && norm; d++) x[d] *= toFloat(norm[d]) / std::sqrt(square / D + eps);
        for (int i = 0; i < half && rotated; i++) {
            double angle = position * frequencies[i], c = std::cos(angle) * magnitude, s = std::sin(angle) * magnitude;
            double low = x[i], high = x[half + i];
            x[i] = low * c - high * s;
            x[half + i] = high * c + low * s;
        }
        return x;
    }
};

void checkElementwise(Fixture& f);
void checkGemm(Fixture& f);
void checkAttention(Fixture& f);
void checkSampling(Fixture& f);
void benchmark(Fixture& f, const std::string& output, const std::string& what, bool uniform);
