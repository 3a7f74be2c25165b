// Tests and benchmarks of the CUDA kernels, against the PTX that ships.
//
//   gpu-kernels check PTX_FOLDER [--target sm_80|sm_90a] [--only NAME] [--seed N] [--image CUBIN]
//   gpu-kernels bench PTX_FOLDER OUTPUT.json [--target T] [--only small|attention|flash|gates|tile|skinny|steps|prompts] [--seed N]
//                [--data normal|uniform]   what random values are like: the tensor cores take more power for uniform ones
//
// Exit status: 0 all right, 1 a check failed, 75 no NVIDIA driver or device.
#include "fixture.hpp"

static std::string option(int n, char** arguments, const std::string& name, const std::string& otherwise) {
    for (int i = 3; i + 1 < n; i++)
        if (arguments[i] == name) return arguments[i + 1];
    return otherwise;
}

static int run(Driver& driver, int n, char** arguments) {
    int capability = driver.capability();
    std::string target = option(n, arguments, "--target", capability == 90 ? "sm_90a" : "sm_80");
    std::uint64_t seed = std::stoull(option(n, arguments, "--seed", "1"));
    Kernels kernels(driver, arguments[2], target, option(n, arguments, "--image", ""));
    std::printf("%s, capability %d.%d, %s, seed %llu\n", driver.name().c_str(), capability / 10, capability % 10,
                target.c_str(), (unsigned long long)seed);
    Fixture fixture(driver, kernels, seed);
    fixture.filter = option(n, arguments, "--only", "");
    if (std::string(arguments[1]) == "bench") {
        benchmark(fixture, arguments[3], fixture.filter, option(n, arguments, "--data", "normal") == "uniform");
        return 0;
    }
    checkElementwise(fixture);
    checkGemm(fixture);
    checkAttention(fixture);
    checkSampling(fixture);
    std::printf("%d passed, %d failed\n", fixture.passed, fixture.failed);
    return fixture.failed > 0;
}

int main(int n, char** arguments) {
    std::string command = n > 1 ? arguments[1] : "";
    if ((command != "check" || n < 3) && (command != "bench" || n < 4)) {
        std::fprintf(stderr, "usage: %s check PTX_FOLDER [...] | bench PTX_FOLDER OUTPUT.json [...]\n", arguments[0]);
        return 64;
    }
    try {
        Driver driver;
        return run(driver, n, arguments);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return std::string(e.what()).find("no NVIDIA driver") == 0 ? 75 : 1;
    }
}
