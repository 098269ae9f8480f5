// SPDX-License-Identifier: Apache-2.0
#include "core/import/imatrix.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/export/gguf_model.h"
#include "core/import/sources/list.h"
#include "core/io/gguf.h"

namespace lqer {

namespace {

// Sum of squares of each channel, and over how many tokens.
struct ImatrixEntry {
    VectorF64 sumSquares;
    std::int64_t tokens = 0;
};

struct Imatrix {
    std::map<std::string, ImatrixEntry, std::less<>> entries;  // by weight: "blk.0.attn_q.weight"
    std::string data;  // texts it was collected on, as far as the file says
    std::int64_t chunks = 0;
    std::int64_t chunkSize = 0;  // tokens; 0 if not known
};

std::string entryNamed(std::string_view name)
{
    return fmt::format("entry '{}'", escaped(name));
}

// Tensors NAME.in_sum2 (experts, in) and NAME.counts (experts, 1). Source: llama.cpp, tools/imatrix/imatrix.cpp.
Imatrix readGguf(const std::string &path)
{
    const GgufFile file(path);
    if (const std::string &type = file.text("general.type"); type != "imatrix")
        throw Error(ErrorCode::Format, path, "key 'general.type'", fmt::format("is '{}', expected 'imatrix'", escaped(type)));
    Imatrix imatrix;
    constexpr std::string_view sums = ".in_sum2";
    for (const GgufTensor &tensor : file.tensors()) {
        if (!tensor.name.ends_with(sums))
            continue;
        const std::string name = tensor.name.substr(0, tensor.name.size() - sums.size());
        const GgufTensor *counts = file.findTensor(name + ".counts");
        if (!counts)
            throw Error(ErrorCode::Format, path, entryNamed(name), "has no counts");
        const std::int64_t features = tensor.shape.empty() ? 0 : tensor.shape.back();
        if (elementCount(tensor.shape) != features || elementCount(counts->shape) != 1)
            continue;  // experts: no model that is read here has them
        ImatrixEntry entry;
        entry.sumSquares.resize(features);
        file.read(tensor).copyTo(std::span<double>(entry.sumSquares.data(), static_cast<std::size_t>(features)));
        double count = 0;
        file.read(*counts).copyTo(std::span<double>(&count, 1));
        if (!(count >= 0 && count < 0x1p53))
            throw Error(ErrorCode::Format, path, entryNamed(name), fmt::format("counts {} tokens", count));
        entry.tokens = std::llround(count);
        imatrix.entries.emplace(name, std::move(entry));
    }
    if (const GgufValue *datasets = file.find("imatrix.datasets"); datasets)
        for (const std::string &text : file.array<std::string>("imatrix.datasets"))
            imatrix.data += fmt::format("{}{}", imatrix.data.empty() ? "" : ", ", escaped(text));
    const auto count = [&](const char *key) {
        const std::int64_t value = file.find(key) ? file.integer(key) : 0;
        if (value < 0)
            throw Error(ErrorCode::Format, path, fmt::format("key '{}'", key), fmt::format("is {}, expected a count", value));
        return value;
    };
    imatrix.chunks = count("imatrix.chunk_count");
    imatrix.chunkSize = count("imatrix.chunk_size");
    return imatrix;
}

// Little-endian numbers of the old form, every length checked against what is left.
class OldForm {
public:
    explicit OldForm(const std::string &path) : m_file(path) {}

    bool atEnd() const { return m_place == m_file.size(); }
    std::int64_t count(const char *what, std::int64_t least, std::int64_t most)
    {
        std::int32_t value = 0;
        read(std::as_writable_bytes(std::span(&value, 1)));
        if (value < least || value > most)
            fail(fmt::format("{} is {}, expected {} to {}", what, value, least, most));
        return value;
    }
    std::string text(std::int64_t length)
    {
        std::string text(static_cast<std::size_t>(fits(length, 1)), '\0');
        read(std::as_writable_bytes(std::span(text)));
        return text;
    }
    VectorF64 numbers(std::int64_t count)
    {
        Vector values(fits(count, sizeof(float)));
        read(std::as_writable_bytes(std::span(values.data(), static_cast<std::size_t>(values.size()))));
        return values.cast<double>();
    }
    [[noreturn]] void fail(const std::string &message) const
    {
        throw Error(ErrorCode::Format, m_file.path(), fmt::format("byte {}", m_place),
                    message + ": no imatrix file of llama.cpp, or cut off");
    }

private:
    std::int64_t fits(std::int64_t count, std::uint64_t each) const
    {
        if (static_cast<std::uint64_t>(count) > (m_file.size() - m_place) / each)
            fail(fmt::format("{} values of {} bytes are announced, {} bytes are left", count, each, m_file.size() - m_place));
        return count;
    }
    void read(std::span<std::byte> out)
    {
        if (out.size() > m_file.size() - m_place)
            fail("the file ends here");
        m_file.read(m_place, out);
        m_place += out.size();
    }

    InputFile m_file;
    std::uint64_t m_place = 0;
};

// Number of entries; for each: length of name, name, calls, number of values, values = mean square * calls; then chunks and the name
// of the text. Source: llama.cpp before August 2025, save_imatrix().
Imatrix readOldForm(const std::string &path)
{
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    OldForm file(path);
    Imatrix imatrix;
    const std::int64_t count = file.count("the number of entries", 1, 1 << 20);
    for (std::int64_t i = 0; i < count; ++i) {
        const std::string name = file.text(file.count("a name's length", 1, 1 << 10));
        ImatrixEntry entry;
        entry.tokens = file.count("the number of calls", 0, most);
        entry.sumSquares = file.numbers(file.count("the number of values", 1, most));
        if (!imatrix.entries.emplace(name, std::move(entry)).second)
            file.fail(fmt::format("'{}' is there twice", escaped(name)));
    }
    if (!file.atEnd()) {
        imatrix.chunks = file.count("the number of chunks", 0, most);
        imatrix.data = escaped(file.text(file.count("the length of the text's name", 0, most)));
    }
    return imatrix;
}

// llama.cpp's name of the weight that reads this input, if the file has it: several weights may share one.
const std::pair<const std::string, ImatrixEntry> *findEntry(const Imatrix &imatrix, const ActivationSite &site,
                                                            const std::map<std::string, std::string> &ggufNames)
{
    for (const std::string &linear : site.linears)
        if (const auto name = ggufNames.find(linear); name != ggufNames.end())
            if (const auto found = imatrix.entries.find(name->second); found != imatrix.entries.end() && found->second.tokens > 0)
                return &*found;
    return nullptr;
}

}  // namespace

CalibrationStats readImatrix(const std::string &path, const Transformer &model, const std::string &modelFingerprint)
{
    const Imatrix imatrix = isGgufFile(path) ? readGguf(path) : readOldForm(path);
    std::map<std::string, std::string> ggufNames;  // by LinearSite::name
    for (const GgufEntry &entry : ggufEntries(model))
        if (entry.kind == GgufEntry::Kind::Weight)
            ggufNames.emplace(entry.site->name, entry.name);

    CalibrationStats stats;
    stats.model = modelFingerprint;
    stats.data = fmt::format("{} (imatrix{})", std::filesystem::path(path).filename().string(),
                             imatrix.data.empty() ? "" : " of " + imatrix.data);
    const InputFile file(path);
    stats.dataHash = fileFingerprint(file, file.size());
    stats.windows = imatrix.chunks;
    stats.windowLength = imatrix.chunkSize;
    stats.options.autocorrelation = false;
    std::vector<std::string> missing;
    for (const ActivationSite &site : model.activationSites()) {
        const auto *found = findEntry(imatrix, site, ggufNames);
        if (!found) {
            missing.push_back(site.name);
            continue;
        }
        const auto &[name, entry] = *found;
        if (entry.sumSquares.size() != site.features)
            throw Error(ErrorCode::Shape, path, entryNamed(name),
                        fmt::format("has {} channels, the input of '{}' has {}", entry.sumSquares.size(), site.name, site.features));
        for (Index channel = 0; channel < site.features; ++channel)
            if (!std::isfinite(entry.sumSquares[channel]) || entry.sumSquares[channel] < 0)
                throw Error(ErrorCode::Numeric, path, entryNamed(name),
                            fmt::format("is {} at channel {}", entry.sumSquares[channel], channel));
        SiteStats &known = stats.sites[site.name];
        known.tokens = entry.tokens;
        known.sumSquares = entry.sumSquares;
    }
    if (!missing.empty())
        throw Error(ErrorCode::NotFound, path, "",
                    fmt::format("has nothing for {} of the model's {} inputs, the first being '{}': it was made from another model, or with too "
                                "little text",
                                missing.size(), model.activationSites().size(), missing.front()));
    return stats;
}

}  // namespace lqer
