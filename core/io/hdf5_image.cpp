// SPDX-License-Identifier: Apache-2.0
#include "core/io/hdf5_image.h"

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/hdf5_library.h"

namespace lqer {

namespace {

constexpr std::uint64_t contentLimit = 512ULL << 20;  // bytes of all values together
constexpr int depthLimit = 16;
constexpr std::size_t objectLimit = 2'000'000;
constexpr std::size_t growth = 1U << 20;  // step by which the core driver enlarges its memory

// ---- building

class Builder {
public:
    Builder()
        : m_access(requireHdf5(H5Pcreate(H5P_FILE_ACCESS)), H5Pclose), m_links(requireHdf5(H5Pcreate(H5P_LINK_CREATE)), H5Pclose),
          m_sets(requireHdf5(H5Pcreate(H5P_DATASET_CREATE)), H5Pclose)
    {
        H5Pset_fapl_core(m_access, growth, 0);
        H5Pset_fclose_degree(m_access, H5F_CLOSE_STRONG);
        H5Pset_char_encoding(m_links, H5T_CSET_UTF8);
        H5Pset_obj_track_times(m_sets, 0);
    }

    std::vector<std::byte> build(const Hdf5Group &root)
    {
        const Hdf5Handle file(requireHdf5(H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, m_access)), H5Fclose);
        writeGroup(file, root);
        requireHdf5(H5Fflush(file, H5F_SCOPE_GLOBAL));
        const ssize_t size = H5Fget_file_image(file, nullptr, 0);
        if (size <= 0)
            throw std::bad_alloc();
        std::vector<std::byte> image(static_cast<std::size_t>(size));
        requireHdf5(H5Fget_file_image(file, image.data(), image.size()) == size ? 0 : -1);
        return image;
    }

private:
    void writeGroup(hid_t parent, const Hdf5Group &group)
    {
        for (const auto &[name, value] : group.values) {
            LQER_ASSERT(isHdf5Name(name));
            std::visit([&](const auto &content) { writeValue(parent, name, content); }, value);
        }
        for (const auto &[name, child] : group.groups) {
            LQER_ASSERT(isHdf5Name(name));
            const Hdf5Handle id(requireHdf5(H5Gcreate2(parent, name.c_str(), m_links, H5P_DEFAULT, H5P_DEFAULT)), H5Gclose);
            writeGroup(id, child);
        }
    }
    void writeData(hid_t parent, const std::string &name, hid_t stored, hid_t memory, hid_t space, const void *data)
    {
        const Hdf5Handle set(requireHdf5(H5Dcreate2(parent, name.c_str(), stored, space, m_links, m_sets, H5P_DEFAULT)), H5Dclose);
        if (data)
            requireHdf5(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data));
    }
    // What readHdf5Image() would refuse must not be written either.
    void count(std::size_t bytes)
    {
        m_content += std::max<std::size_t>(8, bytes);
        if (m_content > contentLimit)
            throw Error(ErrorCode::Unsupported, fmt::format("more than {} of values do not go into one HDF5 image",
                                                            formatBytes(static_cast<double>(contentLimit))));
    }
    void writeScalar(hid_t parent, const std::string &name, hid_t stored, hid_t memory, const void *data)
    {
        count(H5Tget_size(stored));
        const Hdf5Handle space(requireHdf5(H5Screate(H5S_SCALAR)), H5Sclose);
        writeData(parent, name, stored, memory, space, data);
    }
    void writeValue(hid_t parent, const std::string &name, const std::string &text)
    {
        LQER_ASSERT(text.find('\0') == std::string::npos);
        const Hdf5Handle type = hdf5StringType(std::max<std::size_t>(1, text.size()));  // a string type of no bytes does not exist
        writeScalar(parent, name, type, type, text.c_str());
    }
    void writeValue(hid_t parent, const std::string &name, std::int64_t number)
    {
        writeScalar(parent, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &number);
    }
    void writeValue(hid_t parent, const std::string &name, double number)
    {
        writeScalar(parent, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &number);
    }
    template <typename Number>
    void writeValue(hid_t parent, const std::string &name, const std::vector<Number> &numbers)
    {
        constexpr bool isFloat = std::is_same_v<Number, double>;
        const hsize_t size = numbers.size();
        count(8 * numbers.size());
        const Hdf5Handle space(requireHdf5(H5Screate_simple(1, &size, nullptr)), H5Sclose);
        writeData(parent, name, isFloat ? H5T_IEEE_F64LE : H5T_STD_I64LE, isFloat ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, space,
                  numbers.empty() ? nullptr : numbers.data());
    }

    Hdf5Handle m_access;
    Hdf5Handle m_links;
    Hdf5Handle m_sets;
    std::uint64_t m_content = 0;
};

// ---- reading

class ImageReader {
public:
    ImageReader(std::span<const std::byte> image, const std::string &file) : m_image(image), m_file(file) {}

    Hdf5Group read()
    {
        const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
        H5Pset_fapl_core(access, growth, 0);
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
        // The library copies the image.
        if (H5Pset_file_image(access, const_cast<std::byte *>(m_image.data()), m_image.size()) < 0)
            fail("/", "cannot be read as an HDF5 image");
        const Hdf5Handle file(H5Fopen("image", H5F_ACC_RDONLY, access), H5Fclose);
        if (!file.isValid())
            fail("/", "is not a readable HDF5 image");
        const Hdf5Handle root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose);
        if (!root.isValid())
            fail("/", "has no root group");
        return readGroup(root, "", 0);
    }

private:
    [[noreturn]] void fail(const std::string &path, const std::string &message) const
    {
        throw Error(ErrorCode::Format, m_file, fmt::format("'{}'", path), message);
    }

    struct LinkNames {
        std::vector<std::string> names;
        bool tooMany = false;
    };
    static herr_t addName(hid_t, const char *name, const H5L_info_t *, void *into)
    {
        auto &links = *static_cast<LinkNames *>(into);
        if (links.names.size() >= objectLimit) {
            links.tooMany = true;
            return -1;
        }
        links.names.emplace_back(name);
        return 0;
    }

    Hdf5Group readGroup(hid_t id, const std::string &path, int depth)
    {
        if (depth > depthLimit)
            fail(path, fmt::format("lies more than {} groups deep", depthLimit));
        noteObject(id, path);
        LinkNames links;
        if (H5Literate(id, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, addName, &links) < 0)
            fail(path.empty() ? "/" : path, links.tooMany ? "has too many members" : "cannot list its members");
        Hdf5Group group;
        for (const std::string &name : links.names) {
            const std::string child = path + "/" + name;
            if (!isHdf5Name(name))
                fail(child, "is no valid name");
            H5L_info_t link;
            if (H5Lget_info(id, name.c_str(), &link, H5P_DEFAULT) < 0)
                fail(child, "cannot be looked up");
            if (link.type != H5L_TYPE_HARD)
                fail(child, "is a soft or external link, which is not allowed");
            const Hdf5Handle object(H5Oopen(id, name.c_str(), H5P_DEFAULT), H5Oclose);
            if (!object.isValid())
                fail(child, "cannot be opened");
            const H5I_type_t kind = H5Iget_type(object);
            if (kind == H5I_GROUP)
                group.groups.emplace(name, readGroup(object, child, depth + 1));
            else if (kind == H5I_DATASET)
                group.values.emplace(name, readValue(object, child));
            else
                fail(child, "is neither a group nor a data set");
        }
        return group;
    }

    // A group or data set that can be reached twice is a cycle or a trick.
    void noteObject(hid_t id, const std::string &path)
    {
        H5O_info_t info;
        if (H5Oget_info2(id, &info, H5O_INFO_BASIC) < 0)
            fail(path, "cannot be looked up");
        if (!m_seen.insert(info.addr).second)
            fail(path, "can be reached in two ways, which is not allowed");
        if (m_seen.size() > objectLimit)
            fail(path, "is one of too many objects");
    }

    static std::string typeName(H5T_class_t kind)
    {
        switch (kind) {
        case H5T_INTEGER: return "integer";
        case H5T_FLOAT: return "float";
        case H5T_STRING: return "string";
        case H5T_BITFIELD: return "bit field";
        case H5T_OPAQUE: return "opaque";
        case H5T_COMPOUND: return "compound";
        case H5T_REFERENCE: return "reference";
        case H5T_ENUM: return "enumeration";
        case H5T_VLEN: return "variable length";
        case H5T_ARRAY: return "array";
        default: return "unknown";
        }
    }

    void checkStorage(hid_t set, const std::string &path) const
    {
        const Hdf5Handle creation(H5Dget_create_plist(set), H5Pclose);
        if (!creation.isValid())
            fail(path, "has no readable properties");
        if (H5Pget_external_count(creation) != 0)
            fail(path, "keeps its data in another file, which is not allowed");
        if (H5Pget_layout(creation) == H5D_VIRTUAL)
            fail(path, "is a virtual data set, which is not allowed");
        const int filters = H5Pget_nfilters(creation);
        for (int i = 0; i < filters; ++i) {
            unsigned flags = 0;
            std::size_t count = 0;
            const H5Z_filter_t filter =
                H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &count, nullptr, 0, nullptr, nullptr);
            if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
                fail(path, fmt::format("uses filter {}, which is not allowed", static_cast<long>(filter)));
        }
        if (H5Pget_layout(creation) == H5D_CHUNKED) {
            hsize_t chunk[4] = {};
            const int rank = H5Pget_chunk(creation, 4, chunk);
            if (rank != 1 || chunk[0] > contentLimit / 8)
                fail(path, "has chunks larger than all its contents may be");
        }
    }

    Hdf5Value readValue(hid_t set, const std::string &path)
    {
        noteObject(set, path);
        const Hdf5Handle space(H5Dget_space(set), H5Sclose);
        const Hdf5Handle type(H5Dget_type(set), H5Tclose);
        if (!space.isValid() || !type.isValid())
            fail(path, "has no readable type or extent");
        const H5S_class_t extent = H5Sget_simple_extent_type(space);
        const int rank = H5Sget_simple_extent_ndims(space);
        if ((extent != H5S_SCALAR && extent != H5S_SIMPLE) || rank < 0 || rank > 1)
            fail(path, fmt::format("has {} dimensions, expected none or one", rank));
        checkStorage(set, path);
        const hssize_t points = H5Sget_simple_extent_npoints(space);
        const std::size_t itemBytes = H5Tget_size(type);
        const H5T_class_t kind = H5Tget_class(type);
        std::uint64_t bytes = 0;
        if (points < 0 || itemBytes == 0 ||
            __builtin_mul_overflow(static_cast<std::uint64_t>(points), std::max<std::uint64_t>(8, itemBytes), &bytes) ||
            bytes > contentLimit - m_content || bytes / 1000 > m_image.size())
            fail(path, "holds more than a project may");
        m_content += bytes;

        if (kind == H5T_STRING) {
            if (H5Tis_variable_str(type) != 0 || rank != 0)
                fail(path, "has type list of strings or variable-length string, expected one fixed-length string");
            std::string text(itemBytes, '\0');
            const Hdf5Handle memory = hdf5StringType(itemBytes);
            readData(set, memory, text.data(), path);
            text.resize(std::strlen(text.c_str()));
            std::size_t bad = 0;
            if (!isValidUtf8(text, &bad))
                fail(path, fmt::format("is not valid UTF-8 at byte {}", bad));
            return text;
        }
        if ((kind != H5T_INTEGER && kind != H5T_FLOAT) || itemBytes > 8)
            fail(path, fmt::format("has type {} of {} bytes, expected integer, float or string", typeName(kind), itemBytes));
        if (kind == H5T_INTEGER)
            return readNumbers<std::int64_t>(set, H5T_NATIVE_INT64, points, rank, path);
        return readNumbers<double>(set, H5T_NATIVE_DOUBLE, points, rank, path);
    }

    template <typename Number>
    Hdf5Value readNumbers(hid_t set, hid_t memory, hssize_t points, int rank, const std::string &path)
    {
        std::vector<Number> numbers(static_cast<std::size_t>(points));
        if (points > 0)
            readData(set, memory, numbers.data(), path);
        if (rank == 0) {
            if (points != 1)
                fail(path, "is empty, expected one value");
            return numbers.front();
        }
        return numbers;
    }

    void readData(hid_t set, hid_t memory, void *into, const std::string &path) const
    {
        if (H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, into) < 0)
            fail(path, "cannot be read");
    }

    std::span<const std::byte> m_image;
    const std::string &m_file;
    std::set<haddr_t> m_seen;
    std::uint64_t m_content = 0;
};

// Address space this process has now, in bytes.
rlim_t addressSpace()
{
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

// ---- a tree as bytes, on its way from the child to this program: counts and lengths in 8 bytes, values behind their place in Hdf5Value

void appendNumber(std::uint64_t number, std::vector<std::byte> &bytes)
{
    const auto raw = std::as_bytes(std::span(&number, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
}

template <typename Item>
void appendItems(std::span<const Item> items, std::vector<std::byte> &bytes)
{
    appendNumber(items.size(), bytes);
    const auto raw = std::as_bytes(items);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
}

void flatten(const Hdf5Group &group, std::vector<std::byte> &bytes)
{
    appendNumber(group.values.size(), bytes);
    for (const auto &[name, value] : group.values) {
        appendItems(std::span<const char>(name), bytes);
        appendNumber(value.index(), bytes);
        std::visit(
            [&](const auto &held) {
                if constexpr (requires { held.size(); })
                    appendItems(std::span(held), bytes);
                else
                    appendItems(std::span(&held, 1), bytes);
            },
            value);
    }
    appendNumber(group.groups.size(), bytes);
    for (const auto &[name, child] : group.groups) {
        appendItems(std::span<const char>(name), bytes);
        flatten(child, bytes);
    }
}

std::vector<std::byte> flattened(const Hdf5Group &root)
{
    std::vector<std::byte> bytes;
    flatten(root, bytes);
    return bytes;
}

// Trusts nothing either: a fault of the library may have spoilt the child.
class FlatReader {
public:
    FlatReader(std::span<const std::byte> bytes, const std::string &file) : m_rest(bytes), m_file(file) {}

    Hdf5Group tree()
    {
        Hdf5Group root = group(0);
        require(m_rest.empty());
        return root;
    }

private:
    void require(bool good) const
    {
        if (!good)
            throw Error(ErrorCode::Format, m_file, "", "is damaged inside: the process that checked it gave no readable answer");
    }
    std::span<const std::byte> take(std::uint64_t count)
    {
        require(count <= m_rest.size());
        const auto taken = m_rest.first(static_cast<std::size_t>(count));
        m_rest = m_rest.subspan(taken.size());
        return taken;
    }
    std::uint64_t number()
    {
        std::uint64_t read = 0;
        std::memcpy(&read, take(sizeof read).data(), sizeof read);
        return read;
    }
    template <typename Items>
    Items items()
    {
        const std::uint64_t count = number();
        require(count <= m_rest.size());
        const auto raw = take(count * sizeof(typename Items::value_type));
        Items read;
        read.resize(static_cast<std::size_t>(count));
        if (count > 0)
            std::memcpy(read.data(), raw.data(), raw.size());
        return read;
    }
    template <typename Scalar>
    Scalar scalar()
    {
        const auto one = items<std::vector<Scalar>>();
        require(one.size() == 1);
        return one.front();
    }
    Hdf5Value value()
    {
        switch (number()) {
        case 0: return items<std::string>();
        case 1: return scalar<std::int64_t>();
        case 2: return scalar<double>();
        case 3: return items<std::vector<std::int64_t>>();
        case 4: return items<std::vector<double>>();
        default: require(false); return {};
        }
    }
    Hdf5Group group(int depth)
    {
        require(depth <= depthLimit);
        Hdf5Group read;
        for (std::uint64_t left = number(); left > 0; --left) {
            auto name = items<std::string>();
            read.values.emplace_hint(read.values.end(), std::move(name), value());
        }
        for (std::uint64_t left = number(); left > 0; --left) {
            auto name = items<std::string>();
            read.groups.emplace_hint(read.groups.end(), std::move(name), group(depth + 1));
        }
        return read;
    }

    std::span<const std::byte> m_rest;
    const std::string &m_file;
};

std::vector<std::byte> readToEnd(int descriptor)
{
    std::vector<std::byte> all;
    std::size_t filled = 0;
    for (;;) {
        if (all.size() - filled < 1 << 20)
            all.resize(std::max<std::size_t>(1 << 20, 2 * all.size()));
        const ssize_t count = ::read(descriptor, all.data() + filled, all.size() - filled);
        if (count == 0 || (count < 0 && errno != EINTR))
            break;
        filled += static_cast<std::size_t>(std::max<ssize_t>(0, count));
    }
    all.resize(filled);
    return all;
}

// libhdf5 1.10 crashes or hangs on some images (17 + 2 of 1200 mutations, reliability.md 3.2), and whoever can make a file can make
// its checksum. So a child reads it, under limits of time and memory, and hands over what it found; where it ends otherwise, the
// image is refused, and where it refuses the image itself there is nothing. Called under the lock, which is what makes forking
// safe: nobody else is inside the library.
std::optional<Hdf5Group> readInChild(std::span<const std::byte> image, const std::string &file)
{
    constexpr rlim_t extraMemory = 2ULL << 30;
    constexpr unsigned waitSeconds = 60;
    // Time of its own, however busy the machine is.
    const rlim_t workSeconds = 2 + image.size() / (8U << 20);
    const rlim_t memory = addressSpace() + extraMemory;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw Error(ErrorCode::Io, file, "", fmt::format("cannot be checked: no pipe ({})", std::strerror(errno)));
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    const pid_t child = fork();
    if (child != 0)
        close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        throw Error(ErrorCode::Io, file, "", fmt::format("cannot be checked: no child process ({})", std::strerror(errno)));
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        close_range(3, ~0U, 0);  // locks and files of the parent must not outlive it here
        for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL, SIGALRM, SIGXCPU, SIGTERM, SIGINT})
            std::signal(number, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
        const rlimit noCore{0, 0};
        setrlimit(RLIMIT_CORE, &noCore);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they reserve address space without end
        const rlimit most{memory, memory};
        setrlimit(RLIMIT_AS, &most);
#else
        static_cast<void>(memory);
#endif
        const rlimit mostWork{workSeconds, workSeconds};
        setrlimit(RLIMIT_CPU, &mostWork);
        alarm(waitSeconds);
        try {
            const std::vector<std::byte> tree = flattened(ImageReader(image, file).read());
            for (std::span<const std::byte> rest = tree; !rest.empty();) {
                const ssize_t count = ::write(STDOUT_FILENO, rest.data(), rest.size());
                if (count < 0 && errno != EINTR)
                    _exit(1);
                rest = rest.subspan(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
            }
        } catch (...) {  // the parent will find the same and word it
        }
        _exit(0);
    }
    const std::vector<std::byte> tree = readToEnd(ends[0]);
    close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            throw Error(ErrorCode::Io, file, "", fmt::format("cannot be checked: {}", std::strerror(errno)));
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw Error(ErrorCode::Format, file, "", "is damaged inside: the process that checked it was stopped");
    if (tree.empty())
        return std::nullopt;
    return FlatReader(tree, file).tree();
}

}  // namespace

std::vector<std::byte> buildHdf5Image(const Hdf5Group &root)
{
    const std::lock_guard lock(hdf5Mutex());
    prepareHdf5();
    return Builder().build(root);
}

Hdf5Group readHdf5Image(std::span<const std::byte> image, const std::string &file)
{
    const std::lock_guard lock(hdf5Mutex());
    prepareHdf5();
    if (image.size() < 8 || std::memcmp(image.data(), "\x89HDF\r\n\x1a\n", 8) != 0)
        throw Error(ErrorCode::Format, file, "", "is not an HDF5 image");
    std::optional<Hdf5Group> tree = readInChild(image, file);
    return tree ? *std::move(tree) : ImageReader(image, file).read();
}

// ---- Hdf5Reader

namespace {

std::string describe(const Hdf5Value &value)
{
    struct Describe {
        std::string operator()(const std::string &) const { return "text"; }
        std::string operator()(std::int64_t) const { return "an integer"; }
        std::string operator()(double) const { return "a number"; }
        std::string operator()(const std::vector<std::int64_t> &list) const { return fmt::format("{} integers", list.size()); }
        std::string operator()(const std::vector<double> &list) const { return fmt::format("{} numbers", list.size()); }
    };
    return std::visit(Describe{}, value);
}

}  // namespace

Hdf5Reader::Hdf5Reader(const Hdf5Group &group, std::string file, std::string path)
    : m_group(&group), m_file(std::move(file)), m_path(std::move(path))
{
}

void Hdf5Reader::fail(std::string_view name, std::string_view message) const
{
    throw Error(ErrorCode::Format, m_file, fmt::format("'{}/{}'", m_path, name), message);
}

bool Hdf5Reader::hasGroup(std::string_view name) const
{
    return m_group->groups.contains(std::string(name));
}

bool Hdf5Reader::has(std::string_view name) const
{
    return m_group->values.contains(std::string(name));
}

Hdf5Reader Hdf5Reader::group(std::string_view name) const
{
    const auto found = m_group->groups.find(std::string(name));
    if (found == m_group->groups.end())
        fail(name, "is missing, expected a group");
    return {found->second, m_file, fmt::format("{}/{}", m_path, name)};
}

std::vector<std::string> Hdf5Reader::groupNames() const
{
    std::vector<std::string> names;
    for (const auto &[name, group] : m_group->groups)
        names.push_back(name);
    return names;
}

std::vector<std::string> Hdf5Reader::valueNames() const
{
    std::vector<std::string> names;
    for (const auto &[name, value] : m_group->values)
        names.push_back(name);
    return names;
}

const Hdf5Value &Hdf5Reader::value(std::string_view name) const
{
    const auto found = m_group->values.find(std::string(name));
    if (found == m_group->values.end())
        fail(name, "is missing");
    return found->second;
}

const std::string &Hdf5Reader::text(std::string_view name) const
{
    const Hdf5Value &found = value(name);
    if (!std::holds_alternative<std::string>(found))
        fail(name, fmt::format("has {}, expected text", describe(found)));
    return std::get<std::string>(found);
}

std::int64_t Hdf5Reader::integer(std::string_view name, std::int64_t least, std::int64_t most) const
{
    const Hdf5Value &found = value(name);
    if (!std::holds_alternative<std::int64_t>(found))
        fail(name, fmt::format("has {}, expected an integer", describe(found)));
    const std::int64_t number = std::get<std::int64_t>(found);
    if (number < least || number > most)
        fail(name, fmt::format("is {}, expected {} to {}", number, least, most));
    return number;
}

double Hdf5Reader::number(std::string_view name) const
{
    const Hdf5Value &found = value(name);
    if (!std::holds_alternative<double>(found))
        fail(name, fmt::format("has {}, expected a number", describe(found)));
    if (!std::isfinite(std::get<double>(found)))
        fail(name, "is not finite");
    return std::get<double>(found);
}

const std::vector<double> &Hdf5Reader::numbers(std::string_view name, std::int64_t count) const
{
    const Hdf5Value &found = value(name);
    if (!std::holds_alternative<std::vector<double>>(found))
        fail(name, fmt::format("has {}, expected a list of numbers", describe(found)));
    const auto &list = std::get<std::vector<double>>(found);
    if (count >= 0 && static_cast<std::int64_t>(list.size()) != count)
        fail(name, fmt::format("has {} numbers, expected {}", list.size(), count));
    for (std::size_t i = 0; i < list.size(); ++i)
        if (!std::isfinite(list[i]))
            fail(name, fmt::format("is not finite at index {}", i));
    return list;
}

}  // namespace lqer
