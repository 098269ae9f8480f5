// SPDX-License-Identifier: Apache-2.0
#include "core/import/correction_dictionary.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"

namespace lqer {

namespace {

[[noreturn]] void fail(ErrorCode code, const SafetensorsFile &file, const TensorInfo &tensor, std::string_view message)
{
    throw Error(code, file.path(), fmt::format("tensor '{}'", tensor.name), message);
}

Matrix readFinite(const SafetensorsFile &file, const TensorInfo &info)
{
    const Matrix matrix = file.read(info).toMatrix();
    std::size_t first = 0;
    if (countNonFinite({matrix.data(), static_cast<std::size_t>(matrix.size())}, &first) > 0)
        fail(ErrorCode::Numeric, file, info, fmt::format("element {} is NaN or infinite", first));
    return matrix;
}

}  // namespace

CorrectionDictionary::CorrectionDictionary(const std::vector<std::string> &paths)
{
    for (const std::string &path : paths) {
        m_files.push_back(std::make_unique<const SafetensorsFile>(path));
        const SafetensorsFile &file = *m_files.back();
        for (const TensorInfo &tensor : file.tensors()) {
            const bool isA = tensor.name.ends_with(".A");
            if (!isA && !tensor.name.ends_with(".B"))
                fail(ErrorCode::Format, file, tensor, "'<layer>.A' or '<layer>.B' was expected");
            if (tensor.shape.size() != 2
                || (tensor.dtype != DType::F32 && tensor.dtype != DType::F16 && tensor.dtype != DType::BF16))
                fail(ErrorCode::Format, file, tensor, "a matrix of F32, F16 or BF16 was expected");
            Layer &layer = m_layers[tensor.name.substr(0, tensor.name.size() - 2)];
            if (layer.file && layer.file != &file)
                fail(ErrorCode::Format, file, tensor, fmt::format("the layer is in {} already", escaped(layer.file->path())));
            layer.file = &file;
            (isA ? layer.a : layer.b) = &tensor;
        }
    }
    for (const auto &[name, layer] : m_layers) {
        const TensorInfo &present = *(layer.a ? layer.a : layer.b);
        if (!layer.a || !layer.b)
            fail(ErrorCode::Format, *layer.file, present,
                 fmt::format("there is no '{}.{}' to it", escaped(name), layer.a ? "B" : "A"));
        if (layer.a->shape[1] != layer.b->shape[0])
            fail(ErrorCode::Format, *layer.file, present,
                 fmt::format("A has {} columns, B {} rows", layer.a->shape[1], layer.b->shape[0]));
    }
}

void CorrectionDictionary::requireFits(std::span<const LinearSite> sites) const
{
    std::map<std::string, const LinearSite *> known;
    std::vector<std::string> names;
    for (const LinearSite &site : sites) {
        known[site.name] = &site;
        names.push_back(site.name);
    }
    for (const auto &[name, layer] : m_layers) {
        const auto site = known.find(name);
        if (site == known.end()) {
            const std::string near = nearest(name, names);
            fail(ErrorCode::NotFound, *layer.file, *layer.a,
                 near.empty() ? "the model has no such layer"
                              : fmt::format("the model has no such layer; did you mean '{}'?", near));
        }
        if (layer.a->shape[0] != site->second->in || layer.b->shape[1] != site->second->out)
            fail(ErrorCode::Shape, *layer.file, *layer.a,
                 fmt::format("A B is {}x{}, the model's layer {}x{} (in, out)", layer.a->shape[0], layer.b->shape[1],
                             site->second->in, site->second->out));
    }
}

Index CorrectionDictionary::rank(const std::string &layer) const
{
    const auto found = m_layers.find(layer);
    return found == m_layers.end() ? 0 : found->second.a->shape[1];
}

LowRankCorrection CorrectionDictionary::read(const std::string &layer) const
{
    const auto found = m_layers.find(layer);
    if (found == m_layers.end())
        throw Error(ErrorCode::NotFound, description(), fmt::format("layer '{}'", layer), "has no A and B here");
    return {readFinite(*found->second.file, *found->second.a), readFinite(*found->second.file, *found->second.b), {}, {}};
}

std::string CorrectionDictionary::description() const
{
    return m_files.empty()    ? "no file"
        : m_files.size() == 1 ? m_files.front()->path()
                              : fmt::format("{} and {} more", m_files.front()->path(), m_files.size() - 1);
}

}  // namespace lqer
