// SPDX-License-Identifier: Apache-2.0
#include "core/io/hdf5_file.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/file.h"
#include "core/io/hdf5_library.h"

namespace lqer {

namespace {

constexpr std::size_t chunkBytes = 256 << 10;

// What our driver keeps a file in.
class Medium {
public:
    virtual ~Medium() = default;
    virtual std::uint64_t size() const = 0;
    virtual void read(std::uint64_t offset, std::span<std::byte> bytes) = 0;  // what lies behind the end is zero
    virtual void write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
};

class WrittenMedium final : public Medium {
public:
    explicit WrittenMedium(AtomicFile &file) : m_file(file) {}
    std::uint64_t size() const override { return m_file.written(); }
    void read(std::uint64_t offset, std::span<std::byte> bytes) override
    {
        if (m_failure)
            std::ranges::fill(bytes, std::byte{0});
        else
            m_file.readBack(offset, bytes);
    }
    // After the first failure the file is gone. The library is told that all went well, for it crashes at exit if a file could not be
    // closed (reliability.md 3.2), and whoever called it asks rethrowFailure().
    void write(std::uint64_t offset, std::span<const std::byte> bytes) override
    {
        if (m_failure)
            return;
        try {
            m_file.writeAt(offset, bytes);
        } catch (...) {
            m_failure = std::current_exception();
        }
    }
    void rethrowFailure() const
    {
        if (m_failure)
            std::rethrow_exception(m_failure);
    }

private:
    AtomicFile &m_file;
    std::exception_ptr m_failure;
};

class ReadMedium final : public Medium {
public:
    explicit ReadMedium(const InputFile &file) : m_file(file) {}
    std::uint64_t size() const override { return m_file.size(); }
    void read(std::uint64_t offset, std::span<std::byte> bytes) override { m_file.read(offset, bytes); }
    void write(std::uint64_t, std::span<const std::byte>) override { LQER_ASSERT(!"opened for reading"); }

private:
    const InputFile &m_file;
};

// ---- the driver

struct DriverFile {
    H5FD_t base;  // first: the library knows this part
    Medium *medium;
    haddr_t allocated;
};

DriverFile *driverFile(H5FD_t *file)
{
    return reinterpret_cast<DriverFile *>(file);
}
const DriverFile *driverFile(const H5FD_t *file)
{
    return reinterpret_cast<const DriverFile *>(file);
}

hid_t driver();

extern "C" {

static H5FD_t *openMedium(const char *, unsigned, hid_t access, haddr_t)
{
    const auto *medium = static_cast<Medium *const *>(H5Pget_driver_info(access));
    auto *file = new (std::nothrow) DriverFile{};
    if (file && medium)
        file->medium = *medium;
    return file ? &file->base : nullptr;
}

static herr_t closeMedium(H5FD_t *file)
{
    delete driverFile(file);
    return 0;
}

static herr_t queryMedium(const H5FD_t *, unsigned long *flags)
{
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t allocatedEnd(const H5FD_t *file, H5FD_mem_t)
{
    return driverFile(file)->allocated;
}

static herr_t setAllocatedEnd(H5FD_t *file, H5FD_mem_t, haddr_t end)
{
    driverFile(file)->allocated = end;
    return 0;
}

static haddr_t mediumEnd(const H5FD_t *file, H5FD_mem_t)
{
    return driverFile(file)->medium->size();
}

static herr_t readMedium(H5FD_t *file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void *buffer)
{
    try {
        driverFile(file)->medium->read(address, {static_cast<std::byte *>(buffer), size});
        return 0;
    } catch (...) {  // no exception may pass through the library
        return -1;
    }
}

static herr_t writeMedium(H5FD_t *file, H5FD_mem_t, hid_t, haddr_t address, size_t size, const void *buffer)
{
    driverFile(file)->medium->write(address, {static_cast<const std::byte *>(buffer), size});
    return 0;
}

// What was allocated and never written belongs to the file.
static herr_t truncateMedium(H5FD_t *file, hid_t, hbool_t)
{
    const DriverFile &at = *driverFile(file);
    constexpr std::byte zero{0};
    if (at.allocated > at.medium->size())
        at.medium->write(at.allocated - 1, {&zero, 1});
    return 0;
}

}  // extern "C"

hid_t driver()
{
    static const hid_t id = [] {
        static H5FD_class_t description;
        description = {};
        description.name = "lqer";
        description.maxaddr = static_cast<haddr_t>(1) << 62;
        description.fc_degree = H5F_CLOSE_STRONG;
        description.fapl_size = sizeof(Medium *);
        description.open = openMedium;
        description.close = closeMedium;
        description.query = queryMedium;
        description.get_eoa = allocatedEnd;
        description.set_eoa = setAllocatedEnd;
        description.get_eof = mediumEnd;
        description.read = readMedium;
        description.write = writeMedium;
        description.truncate = truncateMedium;
        std::fill(std::begin(description.fl_map), std::end(description.fl_map), H5FD_MEM_DEFAULT);
        return H5FDregister(&description);
    }();
    return requireHdf5(id);
}

hid_t accessTo(Medium *medium)
{
    const hid_t access = requireHdf5(H5Pcreate(H5P_FILE_ACCESS));
    H5Pset_driver(access, driver(), &medium);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    // Structure stays in memory until the end: nothing is written twice, nothing read back.
    H5AC_cache_config_t cache{};
    cache.version = H5AC__CURR_CACHE_CONFIG_VERSION;
    H5Pget_mdc_config(access, &cache);
    cache.evictions_enabled = 0;
    cache.incr_mode = H5C_incr__off;
    cache.flash_incr_mode = H5C_flash_incr__off;
    cache.decr_mode = H5C_decr__off;
    requireHdf5(H5Pset_mdc_config(access, &cache));
    return access;
}

// ---- types

template <typename Number>
std::pair<hid_t, hid_t> storedAndMemoryType()
{
    if constexpr (std::is_same_v<Number, std::uint8_t>)
        return {H5T_STD_U8LE, H5T_NATIVE_UINT8};
    else if constexpr (std::is_same_v<Number, std::uint64_t>)
        return {H5T_STD_U64LE, H5T_NATIVE_UINT64};
    else if constexpr (std::is_same_v<Number, float>)
        return {H5T_IEEE_F32LE, H5T_NATIVE_FLOAT};
    else
        return {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE};
}

std::string typeName(hid_t type)
{
    if (H5Tget_class(type) == H5T_STRING)
        return "text";
    if (H5Tequal(type, H5T_STD_U8LE) > 0)
        return "uint8";
    if (H5Tequal(type, H5T_STD_U64LE) > 0)
        return "uint64";
    if (H5Tequal(type, H5T_IEEE_F32LE) > 0)
        return "float32";
    return H5Tequal(type, H5T_IEEE_F64LE) > 0 ? "float64" : "other";
}

bool isPath(const std::string &path)
{
    for (std::size_t begin = 0;;) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        if (!isHdf5Name(std::string_view(path).substr(begin, end - begin)))
            return false;
        if (end == path.size())
            return true;
        begin = end + 1;
    }
}

}  // namespace

struct Hdf5FileWriter::State {
    explicit State(AtomicFile &file) : medium(file) {}

    WrittenMedium medium;
    hid_t file = -1;
    std::unique_ptr<Hdf5Handle> links;  // how links are made: UTF-8, with the groups on the way

    // The disk's failure first: what the library says after it means nothing.
    hid_t require(hid_t id) const
    {
        medium.rethrowFailure();
        return requireHdf5(id);
    }

    bool exists(const std::string &path) const
    {
        for (std::size_t end = 0; end != std::string::npos;) {
            end = path.find('/', end + 1);
            if (H5Lexists(file, path.substr(0, end).c_str(), H5P_DEFAULT) <= 0)
                return false;
        }
        return true;
    }

    void makeArray(const std::string &path, hid_t stored, hid_t memory, hid_t space, hid_t creation, const void *data)
    {
        LQER_ASSERT(file >= 0 && isPath(path) && !exists(path));
        H5Pset_obj_track_times(creation, 0);
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
        const Hdf5Handle set(require(H5Dcreate2(file, path.c_str(), stored, space, *links, creation, H5P_DEFAULT)), H5Dclose);
        if (data)
            require(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data));
    }
};

Hdf5FileWriter::Hdf5FileWriter(AtomicFile &file) : m_state(std::make_unique<State>(file))
{
    LQER_ASSERT(file.written() == 0);
    const std::lock_guard lock(hdf5Mutex());
    prepareHdf5();
    m_state->links = std::make_unique<Hdf5Handle>(requireHdf5(H5Pcreate(H5P_LINK_CREATE)), H5Pclose);
    H5Pset_char_encoding(*m_state->links, H5T_CSET_UTF8);
    H5Pset_create_intermediate_group(*m_state->links, 1);
    const Hdf5Handle access(accessTo(&m_state->medium), H5Pclose);
    m_state->file = requireHdf5(H5Fcreate("export", H5F_ACC_TRUNC, H5P_DEFAULT, access));  // a failure of the disk comes out at the next call
}

Hdf5FileWriter::~Hdf5FileWriter()
{
    const std::lock_guard lock(hdf5Mutex());
    if (m_state->file >= 0)
        H5Fclose(m_state->file);
    m_state->links.reset();
}

void Hdf5FileWriter::close()
{
    const std::lock_guard lock(hdf5Mutex());
    LQER_ASSERT(m_state->file >= 0);
    const herr_t closed = H5Fclose(std::exchange(m_state->file, -1));
    m_state->require(closed);
}

template <typename Number>
void Hdf5FileWriter::array(const std::string &path, std::span<const Number> values, const Shape &shape, Storage storage)
{
    LQER_ASSERT(static_cast<std::int64_t>(values.size()) == elementCount(shape) && !shape.empty());
    const std::lock_guard lock(hdf5Mutex());
    const std::vector<hsize_t> extents(shape.begin(), shape.end());
    const Hdf5Handle space(requireHdf5(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr)), H5Sclose);
    const Hdf5Handle creation(requireHdf5(H5Pcreate(H5P_DATASET_CREATE)), H5Pclose);
    if (storage == Storage::Deflated && !values.empty()) {
        std::vector<hsize_t> chunk(extents.size());
        hsize_t room = chunkBytes / sizeof(Number);
        for (std::size_t axis = chunk.size(); axis-- > 0; room = std::max<hsize_t>(1, room / chunk[axis]))
            chunk[axis] = std::min(extents[axis], room);
        H5Pset_chunk(creation, static_cast<int>(chunk.size()), chunk.data());
        H5Pset_shuffle(creation);
        H5Pset_deflate(creation, 1);
    }
    const auto [stored, memory] = storedAndMemoryType<Number>();
    m_state->makeArray(path, stored, memory, space, creation, values.empty() ? nullptr : values.data());
}

template void Hdf5FileWriter::array(const std::string &, std::span<const std::uint8_t>, const Shape &, Storage);
template void Hdf5FileWriter::array(const std::string &, std::span<const std::uint64_t>, const Shape &, Storage);
template void Hdf5FileWriter::array(const std::string &, std::span<const float>, const Shape &, Storage);
template void Hdf5FileWriter::array(const std::string &, std::span<const double>, const Shape &, Storage);

void Hdf5FileWriter::text(const std::string &path, const std::string &text)
{
    LQER_ASSERT(text.find('\0') == std::string::npos);
    const std::lock_guard lock(hdf5Mutex());
    const Hdf5Handle type = hdf5StringType(std::max<std::size_t>(1, text.size()));  // a string type of no bytes does not exist
    const Hdf5Handle space(requireHdf5(H5Screate(H5S_SCALAR)), H5Sclose);
    const Hdf5Handle creation(requireHdf5(H5Pcreate(H5P_DATASET_CREATE)), H5Pclose);
    m_state->makeArray(path, type, type, space, creation, text.c_str());
}

void Hdf5FileWriter::attribute(const std::string &path, const std::string &name, const Attribute &value)
{
    const std::lock_guard lock(hdf5Mutex());
    State &state = *m_state;
    LQER_ASSERT(state.file >= 0 && isHdf5Name(name) && (path.empty() || isPath(path)));
    if (!path.empty() && !state.exists(path))
        H5Gclose(state.require(H5Gcreate2(state.file, path.c_str(), *state.links, H5P_DEFAULT, H5P_DEFAULT)));
    const Hdf5Handle object(state.require(H5Oopen(state.file, path.empty() ? "/" : path.c_str(), H5P_DEFAULT)), H5Oclose);
    const Hdf5Handle names(requireHdf5(H5Pcreate(H5P_ATTRIBUTE_CREATE)), H5Pclose);
    H5Pset_char_encoding(names, H5T_CSET_UTF8);
    const auto write = [&](hid_t stored, hid_t memory, hid_t space, const void *data) {
        const Hdf5Handle attribute(state.require(H5Acreate2(object, name.c_str(), stored, space, names, H5P_DEFAULT)), H5Aclose);
        state.require(H5Awrite(attribute, memory, data));
    };
    const Hdf5Handle scalar(requireHdf5(H5Screate(H5S_SCALAR)), H5Sclose);
    if (const auto *flag = std::get_if<bool>(&value)) {
        // As h5py and PyTables store a bool.
        const Hdf5Handle type(requireHdf5(H5Tenum_create(H5T_STD_I8LE)), H5Tclose);
        for (std::int8_t i = 0; i < 2; ++i)
            H5Tenum_insert(type, i == 0 ? "FALSE" : "TRUE", &i);
        const std::int8_t stored = *flag ? 1 : 0;
        write(type, type, scalar, &stored);
    } else if (const auto *integer = std::get_if<std::int64_t>(&value)) {
        write(H5T_STD_I64LE, H5T_NATIVE_INT64, scalar, integer);
    } else if (const auto *number = std::get_if<double>(&value)) {
        write(H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, scalar, number);
    } else if (const auto *list = std::get_if<std::vector<std::int64_t>>(&value)) {
        const hsize_t size = list->size();
        const Hdf5Handle space(requireHdf5(H5Screate_simple(1, &size, nullptr)), H5Sclose);
        write(H5T_STD_I64LE, H5T_NATIVE_INT64, space, list->data());
    } else {
        const Hdf5Handle type = hdf5StringType(H5T_VARIABLE);
        const char *characters = std::get<std::string>(value).c_str();
        write(type, type, scalar, &characters);
    }
}

std::map<std::string, Hdf5ArrayInfo> listHdf5Arrays(const InputFile &file)
{
    const std::lock_guard lock(hdf5Mutex());
    prepareHdf5();
    ReadMedium medium(file);
    const Hdf5Handle access(accessTo(&medium), H5Pclose);
    const Hdf5Handle opened(H5Fopen("export", H5F_ACC_RDONLY, access), H5Fclose);
    std::vector<std::string> paths;
    const auto addPath = [](hid_t, const char *name, const H5L_info_t *, void *into) -> herr_t {
        static_cast<std::vector<std::string> *>(into)->emplace_back(name);
        return 0;
    };
    if (!opened.isValid() || H5Lvisit(opened, H5_INDEX_NAME, H5_ITER_NATIVE, addPath, &paths) < 0)
        throw Error(ErrorCode::Format, file.path(), {}, "cannot be read as an HDF5 file");
    std::map<std::string, Hdf5ArrayInfo> arrays;
    for (const std::string &path : paths) {
        const Hdf5Handle object(H5Oopen(opened, path.c_str(), H5P_DEFAULT), H5Oclose);
        if (!object.isValid())
            throw Error(ErrorCode::Format, file.path(), fmt::format("'{}'", path), "cannot be opened");
        if (H5Iget_type(object) != H5I_DATASET)
            continue;
        const Hdf5Handle type(H5Dget_type(object), H5Tclose);
        const Hdf5Handle space(H5Dget_space(object), H5Sclose);
        const int rank = H5Sget_simple_extent_ndims(space);
        std::vector<hsize_t> extents(static_cast<std::size_t>(std::max(0, rank)));
        H5Sget_simple_extent_dims(space, extents.data(), nullptr);
        arrays[path] = {typeName(type), Shape(extents.begin(), extents.end())};
    }
    return arrays;
}

}  // namespace lqer
