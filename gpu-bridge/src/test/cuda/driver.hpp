// The few calls of the CUDA driver that the kernel tests need, found at run time: no CUDA toolkit to build with.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

typedef std::uint64_t Address;
typedef std::uint16_t bf16;

struct LaunchAttribute {
    int id;
    int padding;
    int value[16];
};

struct LaunchConfig {
    unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes;
    void* stream;
    LaunchAttribute* attributes;
    unsigned attributeCount;
};

class Driver {
  public:
    Driver() {
        library = dlopen("libcuda.so.1", RTLD_NOW);
        if (library == nullptr) throw std::runtime_error("no NVIDIA driver: libcuda.so.1 cannot be opened");
        call("cuInit", 0u);
        call("cuDeviceGet", &device, 0);
        void* context;
        call("cuDevicePrimaryCtxRetain", &context, device);
        call("cuCtxSetCurrent", context);
        call("cuStreamCreate", &stream, 1u);
    }

    /** Calls a function of the driver by name; a status other than success is an error. */
    template <class... A>
    void call(const char* name, A... arguments) {
        auto found = functions.find(name);
        if (found == functions.end()) {
            void* f = dlsym(library, name);
            if (f == nullptr) throw std::runtime_error(std::string("the driver has no ") + name);
            found = functions.emplace(name, f).first;
        }
        int status = reinterpret_cast<int (*)(A...)>(found->second)(arguments...);
        if (status != 0) throw std::runtime_error(std::string(name) + " failed with CUDA error " + std::to_string(status));
    }

    int attribute(int id) {
        int value;
        call("cuDeviceGetAttribute", &value, id, device);
        return value;
    }

    int multiprocessors() { return attribute(16); }
    int capability() { return attribute(75) * 10 + attribute(76); }

    std::string name() {
        char text[128];
        call("cuDeviceGetName", text, (int)sizeof text, device);
        return text;
    }

    void synchronize() { call("cuStreamSynchronize", stream); }

    void* stream = nullptr;

  private:
    void* library;
    int device = 0;
    std::map<std::string, void*> functions;
};

/** Device memory with guard bytes after it. */
class Buffer {
  public:
    Buffer(Driver& d, std::size_t bytes) : driver(&d), size(bytes) { d.call("cuMemAlloc_v2", &at, bytes + GUARD); }
    Buffer(Buffer&& other) noexcept : driver(other.driver), size(other.size), at(std::exchange(other.at, 0)) {}
    Buffer(const Buffer&) = delete;
    ~Buffer() {
        if (at != 0) driver->call("cuMemFree_v2", at);
    }

    template <class T>
    static Buffer of(Driver& d, const std::vector<T>& values) {
        Buffer b(d, values.size() * sizeof(T));
        b.write(values);
        return b;
    }

    template <class T>
    void write(const std::vector<T>& values) {
        driver->call("cuMemcpyHtoD_v2", at, (const void*)values.data(), values.size() * sizeof(T));
    }

    template <class T>
    std::vector<T> read() const {
        std::vector<T> values(size / sizeof(T));
        driver->call("cuMemcpyDtoH_v2", (void*)values.data(), at, values.size() * sizeof(T));
        return values;
    }

    /** Fills with a pattern that no correct output holds (a NaN in every type). */
    Buffer& poison() {
        driver->call("cuMemsetD8Async", at, (unsigned char)0xff, size + GUARD, driver->stream);
        return *this;
    }

    Buffer& zero() {
        driver->call("cuMemsetD8Async", at, (unsigned char)0, size, driver->stream);
        return *this;
    }

    operator Address() const { return at; }
    std::size_t bytes() const { return size; }

  private:
    static constexpr std::size_t GUARD = 256;
    Driver* driver;
    std::size_t size;
    Address at = 0;
};

/** What the copy engine must know of a matrix of bf16 in memory, in the device's form (CUtensorMap). */
class MatrixMap {
  public:
    /** Sizes from the innermost dimension on; strides in bytes of all but that one; boxes land with rows of 128 bytes, swizzled. */
    MatrixMap(Driver& d, Address base, const std::vector<std::uint64_t>& sizes, const std::vector<std::uint64_t>& strides,
              const std::vector<std::uint32_t>& box)
        : device(d, sizeof(Encoded)) {
        const int bf16Elements = 9, swizzle128 = 3, promote256 = 3;
        Encoded map;
        std::vector<std::uint32_t> steps(sizes.size(), 1);
        d.call("cuTensorMapEncodeTiled", (void*)&map, bf16Elements, (unsigned)sizes.size(), base, sizes.data(), strides.data(),
               box.data(), (const std::uint32_t*)steps.data(), 0, swizzle128, promote256, 0);
        d.call("cuMemcpyHtoD_v2", (Address)device, (const void*)&map, sizeof map);
    }

    /** Keys and values of a pool: rows of D elements, boxes of the 16 tokens of a block. */
    static MatrixMap ofKv(Driver& d, Address base, std::size_t bytes, int D) {
        return MatrixMap(d, base, {(std::uint64_t)D, bytes / (2 * D)}, {2ull * D}, {64, 16});
    }

    /** Queries [T][H][D], boxes of 128 rows of a head. */
    static MatrixMap ofQueries(Driver& d, Address base, int T, int H, int D) {
        return MatrixMap(d, base, {(std::uint64_t)D, (std::uint64_t)H, (std::uint64_t)T}, {2ull * D, 2ull * D * H}, {64, 1, 128});
    }

    /** Rows of a product's left side, boxes of 128. */
    static MatrixMap ofRows(Driver& d, Address base, int rows, int K) {
        return MatrixMap(d, base, {(std::uint64_t)K, (std::uint64_t)rows}, {2ull * K}, {64, 128});
    }

    /** Rows of gate and then of up [2][I][K], boxes of eight times eight gate rows and the same up rows. */
    static MatrixMap ofGateAndUp(Driver& d, Address base, int I, int K) {
        return MatrixMap(d, base, {(std::uint64_t)K, 8, 2, (std::uint64_t)I / 8}, {2ull * K, 2ull * K * I, 16ull * K}, {64, 8, 2, 8});
    }

    operator Address() const { return device; }

  private:
    struct alignas(64) Encoded {
        std::uint64_t words[16];
    };
    Buffer device;
};

inline std::string readFile(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + path);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

/** The shipped PTX and its figures. */
class Kernels {
  public:
    /** The folder's PTX for a target, or an image assembled from it. */
    Kernels(Driver& d, const std::string& folder, const std::string& target, const std::string& image)
        : driver(d), target(target) {
        std::istringstream lines(readFile(folder + "/kernels.properties"));
        for (std::string line; std::getline(lines, line);) {
            auto equals = line.find(" = ");
            if (line[0] != '#' && equals != std::string::npos)
                properties[line.substr(0, equals)] = std::stoi(line.substr(equals + 3));
        }
        std::string code = readFile(image.empty() ? folder + "/tandem_" + target + ".ptx" : image);
        d.call("cuModuleLoadData", &module, (const void*)code.c_str());
    }

    int property(const std::string& key, int otherwise = -1) const {
        auto own = properties.find(target + "." + key);
        if (own != properties.end()) return own->second;
        auto common = properties.find(key);
        if (common != properties.end()) return common->second;
        if (otherwise < 0) throw std::runtime_error("kernels.properties has no " + key);
        return otherwise;
    }

    /** Launches by name; arguments must have exactly the types of KERNELS.md (Address, int, long, float). */
    template <class... A>
    void launch(const std::string& name, unsigned x, unsigned y, unsigned z, A... arguments) {
        void* pointers[] = {&arguments...};
        unsigned shared = property(name + ".sharedBytes", 0);
        LaunchAttribute overlap{6, 0, {1}};  // programmatic stream serialisation
        LaunchConfig config{x, y, z, (unsigned)property(name + ".threads"), 1, 1, shared, driver.stream,
                            &overlap, dependentLaunch ? 1u : 0u};
        driver.call("cuLaunchKernelEx", (const LaunchConfig*)&config, function(name, shared), (void**)pointers, (void**)nullptr);
    }

    bool dependentLaunch = false;

  private:
    void* function(const std::string& name, unsigned shared) {
        auto found = functions.find(name);
        if (found != functions.end()) return found->second;
        void* f;
        driver.call("cuModuleGetFunction", &f, module, name.c_str());
        if (shared > 48 * 1024) driver.call("cuFuncSetAttribute", f, 8, (int)shared);
        // All of it as shared memory: a kernel that starts while another runs finds what that one leaves.
        driver.call("cuFuncSetAttribute", f, 9, 100);
        return functions[name] = f;
    }

    Driver& driver;
    std::string target;
    void* module;
    std::map<std::string, int> properties;
    std::map<std::string, void*> functions;
};
