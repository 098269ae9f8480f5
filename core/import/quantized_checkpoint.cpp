// SPDX-License-Identifier: Apache-2.0
#include "core/import/quantized_checkpoint.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/import/sources/list.h"

namespace lqer {

namespace {

std::string named(const std::string &tensor)
{
    return fmt::format("tensor '{}'", tensor);
}

std::string withoutWeight(const std::string &tensor)
{
    constexpr std::string_view suffix = ".weight";
    return tensor.ends_with(suffix) ? tensor.substr(0, tensor.size() - suffix.size()) : tensor;
}

}  // namespace

PackedCheckpoint::PackedCheckpoint(const std::string &folder, std::string description)
    : m_checkpoint(std::make_shared<Checkpoint>(folder)), m_description(std::move(description)), m_fingerprint(m_checkpoint->fingerprint(""))  // of samples of whole files, as of GGUF files
{
}

std::string PackedCheckpoint::moduleOf(const LinearSite &site) const
{
    // Under the name that the family's class gives it, or, saved from the bare trunk, under the original's.
    for (const std::string &module : {site.name, withoutWeight(site.weightTensor)})
        if (m_checkpoint->find(module + "." + parts().front()) || m_checkpoint->find(module + ".weight"))
            return module;
    throw Error(ErrorCode::NotFound, path(), named(site.name + "." + parts().front()),
                fmt::format("is missing, and so is {}.weight: this is no quantization of the given model", site.name));
}

bool PackedCheckpoint::quantizes(const LinearSite &site) const
{
    return m_checkpoint->find(moduleOf(site) + "." + parts().front()) != nullptr;
}

std::uint64_t PackedCheckpoint::weightBytes(const LinearSite &site) const
{
    std::uint64_t bytes = 0;
    for (const std::string &part : parts())
        if (const TensorInfo *info = m_checkpoint->find(moduleOf(site) + "." + part))
            bytes += info->bytes;
    return bytes;
}

const TensorInfo &PackedCheckpoint::require(const std::string &module, const std::string &suffix, const Shape &shape,
                                            std::initializer_list<DType> dtypes) const
{
    const std::string name = module + "." + suffix;
    const TensorInfo *info = m_checkpoint->find(name);
    if (!info)
        throw Error(ErrorCode::NotFound, path(), named(name), "is missing");
    if (info->shape != shape)
        throw Error(ErrorCode::Shape, m_checkpoint->fileOf(name), named(name),
                    fmt::format("has shape {}, a layer of this model needs {} ({})", toString(info->shape), toString(shape), m_description));
    if (std::find(dtypes.begin(), dtypes.end(), info->dtype) == dtypes.end()) {
        std::vector<std::string_view> names;
        for (const DType dtype : dtypes)
            names.push_back(toString(dtype));
        throw Error(ErrorCode::Format, m_checkpoint->fileOf(name), named(name),
                    fmt::format("has element type {}, expected {}", toString(info->dtype), fmt::join(names, " or ")));
    }
    return *info;
}

Tensor PackedCheckpoint::read(const std::string &module, const std::string &suffix) const
{
    return m_checkpoint->read(module + "." + suffix);
}

MatrixF64 PackedCheckpoint::readMatrix(const std::string &module, const std::string &suffix) const
{
    return read(module, suffix).toMatrixF64();
}

std::vector<std::uint32_t> PackedCheckpoint::readWords(const std::string &module, const std::string &suffix) const
{
    const Tensor tensor = read(module, suffix);
    std::vector<std::uint32_t> words(static_cast<std::size_t>(tensor.elements()));
    std::memcpy(words.data(), tensor.bytes().data(), tensor.bytes().size());
    return words;
}

std::vector<Index> PackedCheckpoint::readGroups(const PackedLayer &layer, const std::string &suffix) const
{
    std::vector<Index> groups(static_cast<std::size_t>(layer.in));
    const std::string name = layer.module + "." + suffix;
    if (!m_checkpoint->find(name)) {
        for (std::size_t i = 0; i < groups.size(); ++i)
            groups[i] = static_cast<Index>(i) / layer.groupSize;
        return groups;
    }
    require(layer.module, suffix, {layer.in}, {DType::I32});
    const std::vector<std::uint32_t> words = readWords(layer.module, suffix);
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (words[i] >= static_cast<std::uint32_t>(layer.groups()))
            throw Error(ErrorCode::Format, m_checkpoint->fileOf(name), named(name),
                        fmt::format("names group {} for input {}, there are {}", static_cast<std::int32_t>(words[i]), i, layer.groups()));
        groups[i] = static_cast<Index>(words[i]);
    }
    return groups;
}

void PackedCheckpoint::requireFinite(const std::string &module, const std::string &suffix, const Matrix &values) const
{
    std::size_t first = 0;
    if (countNonFinite({values.data(), static_cast<std::size_t>(values.size())}, &first) == 0)
        return;
    const std::string name = module + "." + suffix;
    const auto place = static_cast<Index>(first);
    throw Error(ErrorCode::Numeric, m_checkpoint->fileOf(name), named(name),
                fmt::format("makes the weight {} at output {}, input {}", values.data()[first], place / values.cols(), place % values.cols()));
}

Index readGroupSize(const JsonReader &config)
{
    const std::int64_t size = config["group_size"].integer(-1, std::int64_t{1} << 31);
    if (size == 0)
        config["group_size"].fail("is 0, expected -1 (one group) or a number of inputs");
    return static_cast<Index>(size);
}

std::string groupsText(Index groupSize)
{
    return groupSize > 0 ? fmt::format("groups of {}", groupSize) : "one group per output";
}

std::unique_ptr<QuantizedBase> openQuantizedBase(const std::string &path, const Transformer &model)
{
    if (isGgufFile(path))
        return openGgufBase(path, model);
    const Checkpoint checkpoint(path);
    std::string methods;
    for (const PackingMethod &method : packingMethods())
        methods += fmt::format("{}{}", methods.empty() ? "" : ", ", method.name);
    const Json *found = checkpoint.config().find("quantization_config");
    if (!found)
        throw Error(ErrorCode::Unsupported, checkpoint.configPath(), "",
                    fmt::format("has no quantization_config: the folder holds no quantized model ({} and GGUF files are read)", methods));
    const JsonReader config(*found, checkpoint.configPath(), "quantization_config");
    const std::string &wanted = config["quant_method"].string();
    for (const PackingMethod &method : packingMethods())
        if (method.name == wanted)
            return method.open(path, config, model);
    throw Error(ErrorCode::Unsupported, checkpoint.configPath(), "key 'quantization_config.quant_method'",
                fmt::format("is '{}'; {} and GGUF files are read", escaped(wanted), methods));
}

}  // namespace lqer
