// SPDX-License-Identifier: Apache-2.0
#include "tests/export/sample_export.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/base/hash.h"
#include "core/quant/quantizer.h"
#include "tests/support/random_llama.h"
#include "tests/support/shared_data.h"

namespace lqer::test {

namespace fs = std::filesystem;

SampleExport::SampleExport(const std::string &checkpoint, const std::string &place, QuantizationRecipe recipe)
    : m_place(place), m_recipe(std::move(recipe)), m_engine(EngineOptions{1, 0}), m_model(m_engine.load(checkpoint, m_engine.context())),
      m_project(m_engine.createProject(place + "/sample.lqer", *m_model))
{
    m_engine.calibrate(*m_model, *m_project, *windows(4, 1), {}, m_engine.context());
    m_engine.decompose(*m_model, *m_project, m_recipe, {}, m_engine.context());
}

std::string SampleExport::write(const std::string &target, const std::string &name, ExportOptions options, bool overwrite, const TaskContext *context) const
{
    ExportRequest request{target, std::move(options), m_place + "/" + name, overwrite};
    m_engine.exportModel(*m_model, *m_project, m_recipe, request, context ? *context : m_engine.context());
    return request.path;
}

ExportForecast SampleExport::forecast(const std::string &target, ExportOptions options) const
{
    return m_engine.forecastExport(*m_model, *m_project, m_recipe, {target, std::move(options), m_place + "/forecast"});
}

Matrix SampleExport::quantized(const LinearSite &site) const
{
    Matrix weight = m_model->transformer().readWeight(site);
    if (const LayerPlan layer = plan(site); layer.quantize) {
        const std::span<float> flat(weight.data(), static_cast<std::size_t>(weight.size()));
        makeQuantizer(layer.formats.weight)->quantize(flat, {weight.rows(), weight.cols()}, flat);
    }
    return weight;
}

LowRankCorrection SampleExport::correction(const LinearSite &site) const
{
    return *m_engine.correction(*m_model, *m_project, site.name, plan(site));
}

std::shared_ptr<const TokenWindows> SampleExport::windows(std::int64_t count, std::uint32_t seed) const
{
    RandomLlama extents;
    extents.vocabulary = m_model->summary().vocabulary;
    return std::make_shared<TokenWindows>(randomWindows(extents, count, std::min<std::int64_t>(24, m_model->summary().contextLength), seed));
}

std::map<std::string, std::string> contentsOf(const std::string &folder)
{
    std::map<std::string, std::string> contents;
    for (const auto &entry : fs::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file())
            continue;
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string bytes((std::istreambuf_iterator<char>(file)), {});
        contents[fs::relative(entry.path(), folder).string()] = hashHex(std::as_bytes(std::span(bytes)));
    }
    return contents;
}

QStringList sampleModels()
{
    QStringList names{"random", "demo"};
    if (!sharedFolder().empty())
        names << "stories260k" << "stories260k-f16" << "tinystories-656k" << "tinystories-656k-bf16" << "tinystories-656k-sharded" << "shakespeare-opt"
              << "shakespeare-gpt2" << "names-gpt2" << "capp-gpt2";
    return names;
}

std::string sampleModelFolder(const QString &name, const std::string &place)
{
    if (name == "demo")
        return sourcePath("resources/demo");
    if (name != "random")
        return sharedFolder() + "/models/" + name.toStdString();
    const std::string folder = place + "/random";
    if (!fs::exists(folder))
        writeRandomLlama(folder, {.hidden = 64, .intermediate = 96});
    return folder;
}

bool sameValues(const Matrix &one, const Matrix &other)
{
    return one.rows() == other.rows() && one.cols() == other.cols() && (one.array() == other.array()).all();
}

QuantizationRecipe mixedRanks(const std::string &format, const std::vector<LinearSite> &sites)
{
    QuantizationRecipe recipe;
    recipe.name = "mixed ranks";
    recipe.defaults.weight = FormatSpec::parse(format);
    recipe.defaults.a = recipe.defaults.b = FormatSpec::parse("mxint:width=8,block_size=16");
    recipe.defaults.scaling = ScalingKind::Diagonal;
    recipe.defaults.rank = 4;
    for (std::size_t i = 0; i < sites.size(); i += 2)
        recipe.layers[sites[i].name].rank = 2 + static_cast<Index>(i % 5);
    recipe.layers[sites.back().name].quantize = false;
    recipe.layers[sites[1].name].rank = 0;
    return recipe;
}

}  // namespace lqer::test
