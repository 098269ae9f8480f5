// SPDX-License-Identifier: Apache-2.0
#include "core/export/dictionary_file.h"

#include "core/export/checkpoint_files.h"

namespace lqer {

namespace {

std::vector<TensorInfo> tensorsOf(const std::vector<std::pair<const LinearSite *, Index>> &layers)
{
    std::vector<TensorInfo> tensors;
    for (const auto &[site, rank] : layers) {
        tensors.push_back({.name = site->name + ".A", .dtype = DType::F32, .shape = {site->in, rank}});
        tensors.push_back({.name = site->name + ".B", .dtype = DType::F32, .shape = {rank, site->out}});
    }
    return tensors;
}

}  // namespace

DictionaryWriter::DictionaryWriter(const std::string &path, const std::vector<std::pair<const LinearSite *, Index>> &layers)
    : m_writer(path, tensorsOf(layers), {{"format", "pt"}})
{ }

void DictionaryWriter::write(const LinearSite &site, const LowRankCorrection &correction)
{
    m_writer.write(floatTensor(site.name + ".A", DType::F32, correction.a));
    m_writer.write(floatTensor(site.name + ".B", DType::F32, correction.b));
}

}  // namespace lqer
