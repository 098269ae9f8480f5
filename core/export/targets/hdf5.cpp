// SPDX-License-Identifier: Apache-2.0
// Everything that is known of a quantized model in one HDF5 file that any HDF5 program reads. core/README.md describes the layout.
#include <algorithm>
#include <array>
#include <bit>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/export/targets/list.h"
#include "core/io/file.h"
#include "core/io/hdf5_file.h"
#include "core/quant/bit_packing.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

constexpr std::int64_t layoutVersion = 1;
constexpr const char *fileName = "model.h5";
constexpr std::uint64_t structureBytes = 16 << 10;       // of a layer or an input: headers, attributes, names
constexpr Hdf5FileWriter::Storage deflated = Hdf5FileWriter::Storage::Deflated;

// What the file says about itself: whoever finds it without this program can read it.
constexpr const char *readme = R"(A quantized language model with a low-rank correction of each layer, written by LQER Studio. y = x (W_q + (A B)^T)^T.

attributes of /              model, architecture, fingerprint (of the checkpoint), recipe, program, version (of this layout)
/config, /recipe             JSON: the checkpoint's config.json; how every layer was to be quantized
/reports/NNNNNN              JSON: what was measured, oldest first; attributes repeat the headline
/formats/F                   levels of number format F by code, float32
/layers/NAME                 one linear layer, its name as in the checkpoint without ".weight"
  attributes                 in, out, block, role, input, quantized, format, bits, code_shape, block_shape, scaling, rank, ...
  codes                      bits bits each, row-major, one after another, the first in the lowest bits of the first byte
  scale, zero                float32, one for each block_shape rows and columns of code_shape; zero only where the format has it
  exception_index, _value    elements (flat) that the formula below does not give; only if there are any
  A (in, rank), B (rank, out), bias    float32, as their formats keep them
  spectrum/sigma             singular values of the shaped error; sigma_unscaled: of W - W_q itself; *_captured: energy per direction.
                             Attributes sigma_exact, sigma_unscaled_exact: so many are computed, from the first; the others are estimates
/inputs/NAME                 what calibration saw of the input that the layers with this attribute `input` read, float64

import h5py, numpy as np

def weight(f, name):
    """W_q of one layer, (out, in) float32, to the last bit."""
    q = f["layers"][name]
    bits, (rows, columns), (r, c) = q.attrs["bits"], q.attrs["code_shape"], q.attrs["block_shape"]
    blocks = lambda array: array[()].repeat(min(r, rows), 0).repeat(min(c, columns), 1)[:rows, :columns]
    stream = np.unpackbits(q["codes"][()], count=rows * columns * bits, bitorder="little").reshape(-1, bits)
    code = (stream.astype(np.uint32) << np.arange(bits, dtype=np.uint32)).sum(1, dtype=np.uint32).reshape(rows, columns)
    w = code.view(np.float32) if bits == 32 else f["formats"][q.attrs["format"]][()][code]
    if "zero" in q:
        w = w - blocks(q["zero"])
    w = (w * blocks(q["scale"])).reshape(-1)
    if "exception_index" in q:
        w[q["exception_index"][()]] = q["exception_value"][()]
    return w.reshape(q.attrs["out"], q.attrs["in"])
)";

std::span<const float> values(const Matrix &matrix)
{
    return {matrix.data(), static_cast<std::size_t>(matrix.size())};
}
std::span<const double> values(const VectorF64 &vector)
{
    return {vector.data(), static_cast<std::size_t>(vector.size())};
}

void writeVector(Hdf5FileWriter &file, const std::string &path, const VectorF64 &vector)
{
    if (vector.size() > 0)
        file.array<double>(path, values(vector), {vector.size()});
}

// Blocks of a weight over the two dimensions its codes are seen in: the weight's own, or one row where blocks straddle rows.
Shape grid(const BlockLayout &layout)
{
    return {layout.blocks(1), layout.blocks(2)};
}

struct Exceptions {
    std::vector<std::uint64_t> index;
    std::vector<float> value;
};

// The elements of W_q that a reader of the arrays would get otherwise, if only in the sign of a zero.
Exceptions exceptions(const QuantizedWeight &weight, int bits, const BlockLayout &layout, const DecodingTable &table, std::span<const float> quantized)
{
    Exceptions found;
    std::array<std::uint32_t, 256> codes;
    layout.forEachRun([&](std::size_t block, std::size_t first, std::size_t length) {
        const float scale = table.scales.empty() ? 1.0F : table.scales[block];
        for (std::size_t done = 0; done < length; done += codes.size()) {
            const std::size_t count = std::min(codes.size(), length - done);
            unpackCodes(weight.codes, bits, first + done, std::span(codes).first(count));
            for (std::size_t i = 0; i < count; ++i) {
                float level = table.levels.empty() ? std::bit_cast<float>(codes[i]) : table.levels[codes[i]];
                if (!table.zeros.empty())
                    level -= table.zeros[block];
                const std::size_t at = first + done + i;
                if (std::bit_cast<std::uint32_t>(level * scale) != std::bit_cast<std::uint32_t>(quantized[at])) {
                    found.index.push_back(at);
                    found.value.push_back(quantized[at]);
                }
            }
        }
    });
    return found;
}

class ModelWriter {
public:
    ModelWriter(const ExportSource &source, const ExportOptions &options, Hdf5FileWriter &file)
        : m_source(source), m_options(options), m_file(file), m_measured(source.measured())
    {
    }

    void write(const TaskContext &context)
    {
        const auto statistics = m_source.statistics();
        context.beginStage("writing layers", m_source.model().linearSites().size() + (statistics ? statistics->sites.size() : 0));
        writeModel();
        for (const LinearSite &site : m_source.model().linearSites()) {
            context.checkStop();
            context.setDetail(site.name);
            writeLayer(site, context);
            context.advance();
        }
        if (statistics)
            writeInputs(*statistics, context);
    }

private:
    void writeModel()
    {
        m_file.text("README", readme);
        m_file.attribute("", "version", layoutVersion);
        m_file.attribute("", "program", std::string("LQER Studio " LQER_VERSION));
        m_file.attribute("", "model", m_source.modelName());
        m_file.attribute("", "architecture", m_source.model().config().architecture);
        m_file.attribute("", "fingerprint", m_source.fingerprint());
        m_file.attribute("", "recipe", m_source.recipe().name);
        m_file.text("config", m_source.checkpoint().config().dump(2));
        m_file.text("recipe", m_source.recipe().toJson().dump(2));
        std::size_t number = 0;
        for (const auto &report : m_source.reports()) {
            const std::string path = fmt::format("reports/{:06}", ++number);
            m_file.text(path, report->toJson().dump());
            m_file.attribute(path, "title", report->title);
            m_file.attribute(path, "created", report->created);
            if (report->original)
                m_file.attribute(path, "original_perplexity", report->original->headline());
            if (report->perplexity) {
                m_file.attribute(path, "perplexity", report->perplexity->headline());
                m_file.attribute(path, "standard_error", report->perplexity->standardError);
                m_file.attribute(path, "convention", toString(report->perplexity->windowOptions.convention));
            }
        }
    }

    void writeLayer(const LinearSite &site, const TaskContext &context)
    {
        const std::string path = "layers/" + site.name;
        const LayerPlan &plan = m_source.planFor(site);
        m_file.attribute(path, "in", site.in);
        m_file.attribute(path, "out", site.out);
        m_file.attribute(path, "block", site.layer);
        m_file.attribute(path, "role", std::string(toString(site.role)));
        m_file.attribute(path, "weight_tensor", site.weightTensor);
        m_file.attribute(path, "input", site.activationSite);
        m_file.attribute(path, "quantized", plan.quantize);
        const ExportLayer layer = m_source.layer(
            site, {.quantized = plan.quantize, .encoded = plan.quantize, .correction = true, .bias = true}, context);
        if (layer.encoded)
            writeWeight(path, *layer.encoded, layer.quantized);
        if (layer.bias.size() > 0)
            m_file.array<float>(path + "/bias", {layer.bias.data(), static_cast<std::size_t>(layer.bias.size())}, {layer.bias.size()});
        writeCorrection(path, site, plan, layer.correction);
        writeErrors(path, site);
    }

    void writeWeight(const std::string &path, const QuantizedWeight &weight, const Matrix &quantized)
    {
        const auto quantizer = makeQuantizer(weight.format);
        const BlockLayout layout = quantizer->layout(weight.shape);
        DecodingTable table = quantizer->decodingTable(weight);
        const std::string format = quantizer->spec().toString();
        m_file.attribute(path, "format", format);
        m_file.attribute(path, "format_name", shortName(quantizer->spec()));
        m_file.attribute(path, "bits", std::int64_t(quantizer->codeBits()));
        m_file.attribute(path, "bits_per_weight", quantizer->bitsPerElement(weight.shape));
        m_file.attribute(path, "code_shape", std::vector<std::int64_t>{layout.extent[1], layout.extent[2]});
        m_file.attribute(path, "block_shape", std::vector<std::int64_t>{layout.block[1], layout.block[2]});
        if (!table.levels.empty() && m_formats.insert(format).second)
            m_file.array<float>("formats/" + format, table.levels, {static_cast<std::int64_t>(table.levels.size())});
        m_file.array<std::uint8_t>(path + "/codes", weight.codes, {static_cast<std::int64_t>(weight.codes.size())});
        const Exceptions odd = exceptions(weight, quantizer->codeBits(), layout, table, values(quantized));
        if (table.scales.empty())
            table.scales.assign(static_cast<std::size_t>(layout.count()), 1.0F);  // so that every layer is read the same way
        m_file.array<float>(path + "/scale", table.scales, grid(layout), deflated);
        if (!table.zeros.empty())
            m_file.array<float>(path + "/zero", table.zeros, grid(layout), deflated);
        if (!odd.index.empty()) {
            m_file.array<std::uint64_t>(path + "/exception_index", odd.index, {static_cast<std::int64_t>(odd.index.size())});
            m_file.array<float>(path + "/exception_value", odd.value, {static_cast<std::int64_t>(odd.value.size())});
        }
        if (optionFlag(m_options, "dequantized"))
            m_file.array<float>(path + "/W_q", values(quantized), weight.shape);
    }

    void writeCorrection(const std::string &path, const LinearSite &site, const LayerPlan &plan, const LowRankCorrection &correction)
    {
        m_file.attribute(path, "rank", std::int64_t(correction.rank()));
        if (correction.rank() == 0)
            return;
        m_file.attribute(path, "scaling", std::string(toString(plan.scaling)));
        m_file.attribute(path, "a_format", correction.aFormat.toString());
        m_file.attribute(path, "b_format", correction.bFormat.toString());
        m_file.array<float>(path + "/A", values(correction.a), {correction.a.rows(), correction.a.cols()});
        m_file.array<float>(path + "/B", values(correction.b), {correction.b.rows(), correction.b.cols()});
        const auto record = m_source.decomposition(site);
        if (!record)
            return;
        const std::string spectrum = path + "/spectrum";
        m_file.attribute(spectrum, "complete", record->spectrum() == SpectrumExtent::Whole);
        m_file.attribute(spectrum, "sigma_exact", std::int64_t(record->sigmaExact));
        m_file.attribute(spectrum, "sigma_unscaled_exact", std::int64_t(record->sigmaUnscaledExact));
        m_file.attribute(spectrum, "weight_energy", record->weightEnergy);
        m_file.attribute(spectrum, "weight_error", record->weightError);
        m_file.attribute(spectrum, "shaped_error", record->totalEnergy);
        if (record->outputKnown) {
            m_file.attribute(spectrum, "output_energy", record->outputEnergy);
            m_file.attribute(spectrum, "output_error", record->outputError);
        }
        writeVector(m_file, spectrum + "/sigma", record->sigma);
        writeVector(m_file, spectrum + "/sigma_unscaled", record->sigmaUnscaled);
        writeVector(m_file, spectrum + "/weight_captured", record->weightCaptured);
        writeVector(m_file, spectrum + "/output_captured", record->outputCaptured);
        if (optionFlag(m_options, "factors"))
            if (const auto factors = m_source.factors(site)) {
                m_file.array<double>(path + "/factors/A", {factors->a.data(), static_cast<std::size_t>(factors->a.size())}, {factors->a.rows(), factors->a.cols()});
                m_file.array<double>(path + "/factors/B", {factors->b.data(), static_cast<std::size_t>(factors->b.size())}, {factors->b.rows(), factors->b.cols()});
            }
    }

    // Relative errors as the newest report of this recipe measured them.
    void writeErrors(const std::string &path, const LinearSite &site)
    {
        if (!m_measured)
            return;
        const auto error = std::ranges::find(m_measured->layers, site.name, &LayerError::layer);
        if (error == m_measured->layers.end())
            return;
        m_file.attribute(path, "weight_error", error->relativeWeightError());
        m_file.attribute(path, "weight_error_corrected", error->relativeCorrectedWeightError());
        if (error->outputKnown) {
            m_file.attribute(path, "output_error", error->relativeOutputError());
            m_file.attribute(path, "output_error_corrected", error->relativeCorrectedOutputError());
        }
    }

    void writeInputs(const CalibrationStats &statistics, const TaskContext &context)
    {
        m_file.attribute("inputs", "data", statistics.data);
        m_file.attribute("inputs", "data_hash", statistics.dataHash);
        m_file.attribute("inputs", "windows", statistics.windows);
        m_file.attribute("inputs", "window_length", statistics.windowLength);
        m_file.attribute("inputs", "batch", statistics.options.batch);
        for (const auto &[name, site] : statistics.sites) {
            context.checkStop();
            context.setDetail(name);
            const std::string path = "inputs/" + name;
            m_file.attribute(path, "tokens", site.tokens);
            writeVector(m_file, path + "/sum_squares", site.sumSquares);
            writeVector(m_file, path + "/max_mean_abs", site.maxMeanAbs);
            writeVector(m_file, path + "/max_abs", site.maxAbs);
            writeVector(m_file, path + "/lqer_scale", site.lqerScale());
            writeVector(m_file, path + "/diagonal_scale", site.diagonalScale());
            if (optionFlag(m_options, "autocorrelation"))
                if (const auto full = m_source.siteStatistics(name); full && full->hasAutocorrelation())
                    m_file.array<double>(path + "/autocorrelation", {full->autocorrelation.data(), static_cast<std::size_t>(full->autocorrelation.size())},
                                         {full->features(), full->features()});
            context.advance();
        }
    }

    const ExportSource &m_source;
    const ExportOptions &m_options;
    Hdf5FileWriter &m_file;
    std::shared_ptr<const EvaluationReport> m_measured;
    std::set<std::string> m_formats;  // whose levels are written
};

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems;
    const auto statistics = source.statistics();
    if (!statistics)
        problems.push_back(exportWarning("project", "has no statistics: the file has no /inputs"));
    else if (optionFlag(options, "autocorrelation") && !statistics->options.autocorrelation)
        problems.push_back(exportWarning("option 'autocorrelation'", "calibration did not collect any: there is none in the file"));
    return problems;
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &options)
{
    std::uint64_t sum = structureBytes + source.checkpoint().config().dump(2).size() + source.recipe().toJson().dump(2).size();
    for (const auto &report : source.reports())
        sum += report->toJson().dump().size() + structureBytes;
    std::set<std::string> formats;
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        sum += structureBytes + (site.hasBias ? 4 * static_cast<std::uint64_t>(site.out) : 0);
        if (!plan.quantize)
            continue;
        const auto quantizer = makeQuantizer(plan.formats.weight);
        const auto elements = static_cast<std::uint64_t>(site.in) * static_cast<std::uint64_t>(site.out);
        const float nothing = 0;
        const DecodingTable table = quantizer->decodingTable(quantizer->encode({&nothing, 1}, {1, 1}));  // which arrays there are
        const auto blocks = static_cast<std::uint64_t>(quantizer->layout({site.out, site.in}).count());
        sum += packedBytes(elements, quantizer->codeBits()) + 4 * blocks * (table.zeros.empty() ? 1 : 2);
        if (formats.insert(quantizer->spec().toString()).second)
            sum += 4 * table.levels.size();
        if (optionFlag(options, "dequantized"))
            sum += 4 * elements;
        if (!source.isCorrected(site))
            continue;
        sum += 4 * static_cast<std::uint64_t>(plan.rank) * static_cast<std::uint64_t>(site.in + site.out);
        if (const auto record = source.decomposition(site)) {
            sum += 8 * static_cast<std::uint64_t>(record->sigma.size() + record->sigmaUnscaled.size() + record->weightCaptured.size()
                                                  + record->outputCaptured.size());
            if (optionFlag(options, "factors"))
                sum += 8 * static_cast<std::uint64_t>(record->maxRank) * static_cast<std::uint64_t>(site.in + site.out);
        }
    }
    if (const auto statistics = source.statistics())
        for (const auto &[name, site] : statistics->sites) {
            const auto features = static_cast<std::uint64_t>(site.features());
            sum += structureBytes + 5 * 8 * features;
            if (optionFlag(options, "autocorrelation") && statistics->options.autocorrelation)
                sum += 8 * features * features;
        }
    return sum;
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    AtomicFile target(folder.at(fileName));
    Hdf5FileWriter file(target);
    ModelWriter(source, options, file).write(context);
    file.close();
    folder.commit(target);
}

// Every layer's arrays are there, with the extents that the recipe implies.
void verify(const ExportSource &source, const ExportOptions &, const std::string &folder)
{
    const InputFile input((std::filesystem::path(folder) / fileName).string());
    const std::map<std::string, Hdf5ArrayInfo> arrays = listHdf5Arrays(input);
    const auto require = [&](const std::string &path, const Hdf5ArrayInfo &expected) {
        const auto found = arrays.find(path);
        if (found == arrays.end() || found->second != expected)
            throw Error(ErrorCode::Format, input.path(), fmt::format("'{}'", path),
                        found == arrays.end() ? std::string("is missing")
                                              : fmt::format("is {} {}, expected {} {}", found->second.type, toString(found->second.shape), expected.type,
                                                            toString(expected.shape)));
    };
    for (const LinearSite &site : source.model().linearSites()) {
        const std::string path = "layers/" + site.name;
        const LayerPlan &plan = source.planFor(site);
        if (plan.quantize) {
            const auto quantizer = makeQuantizer(plan.formats.weight);
            const auto bytes = packedBytes(static_cast<std::uint64_t>(site.in) * static_cast<std::uint64_t>(site.out), quantizer->codeBits());
            require(path + "/codes", {"uint8", {static_cast<std::int64_t>(bytes)}});
            require(path + "/scale", {"float32", grid(quantizer->layout({site.out, site.in}))});
        }
        if (source.isCorrected(site)) {
            require(path + "/A", {"float32", {site.in, plan.rank}});
            require(path + "/B", {"float32", {plan.rank, site.out}});
        }
    }
}

}  // namespace

Exporter hdf5Exporter()
{
    ExporterInfo info;
    info.name = "hdf5";
    info.title = "HDF5 file with everything";
    info.meaning = "Codes and scales of W_q, A, B, biases, singular values, statistics, recipe and reports in one file for h5py, MATLAB, Julia "
                   "and other programs that compute with them. It says how to read itself (/README); no engine serves from it.";
    info.options = {
        booleanParameter("dequantized", false, "W_q as float32 too, besides its codes."),
        booleanParameter("factors", false, "A and B up to the stored rank too, before they are quantized, in float64."),
        booleanParameter("autocorrelation", false, "The inputs' autocorrelation matrices too, in float64: features^2 numbers each."),
    };
    info.singleFile = ".h5";
    return {std::move(info), check, bytes, nullptr, write, verify};
}

}  // namespace lqer
