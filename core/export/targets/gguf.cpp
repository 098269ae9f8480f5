// SPDX-License-Identifier: Apache-2.0
// W_q and all else in one GGUF model, A and B in a GGUF adapter, for llama.cpp and what is built on it.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/export/exporter.h"
#include "core/export/ggml_matrix.h"
#include "core/export/gguf_model.h"
#include "core/export/gguf_tokenizer.h"
#include "core/export/targets/list.h"
#include "core/quant/formats/list.h"
#include "core/quant/quantizer.h"
#include "core/recipe/check.h"

namespace lqer {

namespace {

constexpr const char *inexactName = "inexact";
constexpr const char *adapterTypeName = "adapter_dtype";
constexpr const char *baseFile = "base.gguf";
constexpr const char *adapterFile = "adapter.gguf";
constexpr const char *tableFile = "tensors.csv";
constexpr std::uint64_t tableBytesPerTensor = 160;

const std::vector<GgmlType> factorCandidates{GgmlType::Q8_0, GgmlType::F16, GgmlType::BF16};

// general.file_type says what most of a model is: enum llama_ftype.
std::uint32_t fileType(GgmlType type)
{
    switch (type) {
    case GgmlType::F16: return 1;
    case GgmlType::Q4_0: return 2;
    case GgmlType::Q4_1: return 3;
    case GgmlType::Q8_0: return 7;
    case GgmlType::Q5_0: return 8;
    case GgmlType::Q5_1: return 9;
    case GgmlType::Q2_K: return 10;
    case GgmlType::Q3_K: return 11;
    case GgmlType::Q6_K: return 18;
    case GgmlType::BF16: return 32;
    case GgmlType::MXFP4: return 38;
    case GgmlType::NVFP4: return 39;
    default: return 0;
    }
}

bool isFloat(GgmlType type) { return type == GgmlType::F32 || type == GgmlType::F16 || type == GgmlType::BF16; }

// A format whose values are floats by design.
bool isFloatFormat(const FormatSpec &format)
{
    return format.isPassthrough() || format.name == "float16" || format.name == "bfloat16";
}

// As the checkpoint has it; what llama.cpp does not compute with becomes float32.
GgmlType storedType(const ExportSource &source, const std::string &tensor)
{
    const DType dtype = source.checkpoint().find(tensor)->dtype;
    return dtype == DType::F16 ? GgmlType::F16 : dtype == DType::BF16 ? GgmlType::BF16 : GgmlType::F32;
}

// What a layer's tensors are stored as.
struct LayerTypes {
    GgmlChoice weight;
    GgmlChoice a;
    GgmlChoice b;
};
using TypeTable = std::map<const LinearSite *, LayerTypes>;

// What both files are made of.
struct Contents {
    const ExportSource &source;
    std::vector<GgufEntry> entries;
    TypeTable types;

    const LayerTypes &typesOf(const GgufEntry &entry) const { return types.at(entry.site); }
    bool isCorrected(const GgufEntry &entry) const
    {
        return entry.kind == GgufEntry::Kind::Weight && source.isCorrected(*entry.site);
    }
};

// A^T and B^T with llama.cpp's order of rows.
Matrix loraA(const ExportLayer &layer) { return layer.correction.a.transpose(); }
Matrix loraB(const ExportLayer &layer, std::int64_t heads)
{
    return withPairedRows(Matrix(layer.correction.b.transpose()), heads);
}

GgmlChoice weightChoice(const LinearSite &site, const LayerPlan &plan, const Matrix &weight, const std::string &inexact,
                        const TaskContext &context)
{
    const FormatSpec format = plan.quantize ? plan.formats.weight : FormatSpec();
    const bool passesTiny = format.name == "block_fp" && inexact != "refuse";
    // A quantized layer without a format has the W_q of an existing quantization: integers, as a rule.
    const bool given = plan.quantize && format.isPassthrough();
    const std::vector<GgmlType> candidates = exactCandidates(given ? FormatSpec::parse("integer") : format);
    const GgmlChoice exact = passesTiny ? chooseExactButTiny(weight, candidates, context)
                                        : chooseExact(weight, candidates, context);
    if (!isFloat(exact.type) || isFloatFormat(format) || inexact == "widen")
        return exact;
    const GgmlChoice nearest = chooseNearest(weight, GgmlType::Q8_0, context);
    if (inexact == "q8_0")
        return nearest.type == GgmlType::Q8_0 ? nearest : exact;
    throw Error(ErrorCode::Unsupported, "", layerPlace(site),
                fmt::format("no block type of GGUF holds {} exactly: {} would change W_q by {:.2e} of its norm, {} holds it in "
                            "{} bits a weight; inexact=q8_0 or inexact=widen accepts one of them",
                            shortName(format), toString(nearest.type), nearest.error, toString(exact.type),
                            ggmlBlock(exact.type).bitsPerElement()));
}

GgmlChoice adapterChoice(const Matrix &values, const std::string &type, const TaskContext &context)
{
    if (type == "exact")
        return chooseExact(values, factorCandidates, context);
    static const std::map<std::string, GgmlType> types{
        {"f32", GgmlType::F32}, {"bf16", GgmlType::BF16}, {"f16", GgmlType::F16}, {"q8_0", GgmlType::Q8_0}};
    return chooseNearest(values, types.at(type), context);
}

// Names the layer in what goes wrong inside.
template <typename Work>
auto forLayer(const LinearSite &site, Work work)
{
    try {
        return work();
    } catch (const Error &error) {
        if (error.code() != ErrorCode::Numeric)
            throw;
        throw Error(error.code(), "", layerPlace(site), error.what());
    }
}

TypeTable chooseTypes(const ExportSource &source, const ExportOptions &options, const TaskContext &context)
{
    const auto &sites = source.model().linearSites();
    const std::string &inexact = optionText(options, inexactName), &factors = optionText(options, adapterTypeName);
    context.beginStage("choosing types", sites.size());
    TypeTable table;
    for (const LinearSite &site : sites) {
        context.checkStop();
        context.setDetail(site.name);
        const ExportLayer layer = source.layer(site, {.quantized = true, .correction = true}, context.silent());
        LayerTypes &types = table[&site];
        forLayer(site, [&] {
            types.weight = weightChoice(site, source.planFor(site), layer.quantized, inexact, context.silent());
            if (layer.correction.rank() > 0) {
                types.a = adapterChoice(loraA(layer), factors, context.silent());
                types.b = adapterChoice(loraB(layer, 0), factors, context.silent());
            }
        });
        context.advance();
    }
    return table;
}

// Whether the layer takes more room than its format's bits, because no block type holds it.
bool isWidened(const LayerPlan &plan, GgmlType type)
{
    return plan.quantize && isFloat(type) && !isFloatFormat(plan.formats.weight);
}

// Types without a look at the values: for a forecast of the size.
TypeTable usualTypes(const ExportSource &source, const ExportOptions &options)
{
    const std::string &adapter = optionText(options, adapterTypeName);
    TypeTable table;
    for (const LinearSite &site : source.model().linearSites()) {
        const LayerPlan &plan = source.planFor(site);
        LayerTypes &types = table[&site];
        const FormatSpec &format = plan.formats.weight;
        types.weight.type = plan.quantize && !format.isPassthrough() ? usualType(format, site.in)
                                                                     : storedType(source, site.weightTensor);
        if (isWidened(plan, types.weight.type) && optionText(options, inexactName) == "q8_0" && site.in % 32 == 0)
            types.weight.type = GgmlType::Q8_0;
        // The blocks of A and B do not lie along the rows that are stored, so that Q8_0 is rare.
        const auto factor = [&](const FormatSpec &kept) {
            if (adapter != "exact")
                return adapter == "f32" ? GgmlType::F32 : GgmlType::F16;
            return kept.name.starts_with("mx") ? GgmlType::BF16 : kept.isPassthrough() ? GgmlType::F32 : usualType(kept, 1);
        };
        types.a.type = factor(plan.formats.a);
        types.b.type = factor(plan.formats.b);
    }
    return table;
}

std::vector<GgufTensor> baseTensors(const Contents &contents)
{
    const Checkpoint &checkpoint = contents.source.checkpoint();
    std::vector<GgufTensor> tensors;
    for (const GgufEntry &entry : contents.entries) {
        GgufTensor tensor{.name = entry.name};
        switch (entry.kind) {
        case GgufEntry::Kind::Weight:
            tensor.type = contents.typesOf(entry).weight.type;
            tensor.shape = {entry.site->out, entry.site->in};
            break;
        case GgufEntry::Kind::Bias: tensor.shape = {entry.site->out}; break;
        case GgufEntry::Kind::Matrix:
            tensor.type = storedType(contents.source, entry.stored);
            tensor.shape = checkpoint.find(entry.stored)->shape;
            break;
        case GgufEntry::Kind::Vector: tensor.shape = checkpoint.find(entry.stored)->shape; break;
        case GgufEntry::Kind::Frequencies: tensor.shape = {contents.source.model().config().headDim / 2}; break;
        }
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

std::vector<GgufTensor> adapterTensors(const Contents &contents)
{
    std::vector<GgufTensor> tensors;
    for (const GgufEntry &entry : contents.entries) {
        if (!contents.isCorrected(entry))
            continue;
        const LayerTypes &layer = contents.typesOf(entry);
        const Index rank = contents.source.planFor(*entry.site).rank;
        tensors.push_back({.name = entry.name + ".lora_a", .type = layer.a.type, .shape = {rank, entry.site->in}});
        tensors.push_back({.name = entry.name + ".lora_b", .type = layer.b.type, .shape = {entry.site->out, rank}});
    }
    return tensors;
}

GgufMetadata baseMetadata(const Contents &contents)
{
    const ExportSource &source = contents.source;
    std::map<GgmlType, std::int64_t> elements;
    for (const auto &[site, layer] : contents.types)
        elements[layer.weight.type] += site->in * site->out;
    const GgmlType most = std::ranges::max_element(elements, {}, [](const auto &pair) { return pair.second; })->first;
    const ModelConfig &config = source.model().config();
    GgufMetadata keys = ggufHyperparameters(config);
    keys.insert(keys.begin() + 1, {{"general.type", std::string("model")},
                                   {"general.name", source.modelName()},
                                   {"general.file_type", fileType(most)},
                                   {"general.quantization_version", std::uint32_t(2)}});
    const GgufTokenizer tokenizer = ggufTokenizer(source.checkpoint().folder(), config.vocabulary);
    keys.insert(keys.end(), tokenizer.keys.begin(), tokenizer.keys.end());
    return keys;
}

// alpha 0: llama.cpp takes A B as it is, whatever the rank of each layer.
GgufMetadata adapterMetadata(const ExportSource &source)
{
    return {{"general.architecture", ggufArchitecture(source.model().config())},
            {"general.type", std::string("adapter")},
            {"general.name", source.modelName() + " correction"},
            {"adapter.type", std::string("lora")},
            {"adapter.lora.alpha", 0.0F}};
}

void writeBase(const Contents &contents, ExportFolder &folder, const TaskContext &context)
{
    const ExportSource &source = contents.source;
    const TaskContext silent = context.silent();
    context.beginStage("writing the model", contents.entries.size());
    GgufWriter writer(folder.at(baseFile), baseMetadata(contents), baseTensors(contents));
    for (const GgufEntry &entry : contents.entries) {
        context.checkStop();
        context.setDetail(entry.name);
        const auto writeFloats = [&](const Tensor &values) {
            std::vector<float> floats(static_cast<std::size_t>(values.elements()));
            values.copyTo(std::span(floats));
            writer.write(std::as_bytes(std::span(floats)));
        };
        switch (entry.kind) {
        case GgufEntry::Kind::Weight: {
            const Matrix weight = source.layer(*entry.site, {.quantized = true}, silent).quantized;
            writer.write(encoded(withPairedRows(weight, entry.pairedHeads), contents.typesOf(entry).weight, silent));
            break;
        }
        case GgufEntry::Kind::Bias: {
            const Vector bias = source.layer(*entry.site, {.bias = true}, silent).bias;
            const Vector paired = withPairedRows(bias, entry.pairedHeads);
            writer.write(std::as_bytes(std::span(paired.data(), static_cast<std::size_t>(paired.size()))));
            break;
        }
        case GgufEntry::Kind::Matrix: {
            const Tensor matrix = source.checkpoint().read(entry.stored);
            if (matrix.bytes().size() == *ggmlBytes(storedType(source, entry.stored), matrix.shape()))
                writer.write(matrix.bytes());
            else
                writeFloats(matrix);
            break;
        }
        case GgufEntry::Kind::Vector: writeFloats(source.checkpoint().read(entry.stored)); break;
        case GgufEntry::Kind::Frequencies: {
            const Vector divisors = ggufFrequencyDivisors(source.model().config());
            writer.write(std::as_bytes(std::span(divisors.data(), static_cast<std::size_t>(divisors.size()))));
            break;
        }
        }
        context.advance();
    }
    folder.commit(writer.finished());
}

void writeAdapter(const Contents &contents, ExportFolder &folder, const TaskContext &context)
{
    const TaskContext silent = context.silent();
    const std::vector<GgufTensor> tensors = adapterTensors(contents);
    context.beginStage("writing the adapter", tensors.size() / 2);
    GgufWriter writer(folder.at(adapterFile), adapterMetadata(contents.source), tensors);
    for (const GgufEntry &entry : contents.entries) {
        if (!contents.isCorrected(entry))
            continue;
        context.checkStop();
        context.setDetail(entry.name);
        const ExportLayer layer = contents.source.layer(*entry.site, {.correction = true}, silent);
        writer.write(encoded(loraA(layer), contents.typesOf(entry).a, silent));
        writer.write(encoded(loraB(layer, entry.pairedHeads), contents.typesOf(entry).b, silent));
        context.advance();
    }
    folder.commit(writer.finished());
}

// What became of every linear layer, for people and their spreadsheets.
std::string typeTableText(const Contents &contents)
{
    std::string text = "tensor,rows,columns,format,type,bits_per_element,relative_error\n";
    const auto row = [&](const std::string &name, Index rows, Index columns, const FormatSpec &format, const GgmlChoice &choice) {
        const std::string kept = format.isPassthrough() ? "as it is" : shortName(format);
        text += fmt::format("{},{},{},\"{}\",{},{},{:.3g}\n", name, rows, columns, kept, toString(choice.type),
                            ggmlBlock(choice.type).bitsPerElement(), choice.error);
    };
    for (const GgufEntry &entry : contents.entries) {
        if (entry.kind != GgufEntry::Kind::Weight)
            continue;
        const LinearSite &site = *entry.site;
        const LayerPlan &plan = contents.source.planFor(site);
        const LayerTypes &layer = contents.typesOf(entry);
        row(entry.name, site.out, site.in, plan.quantize ? plan.formats.weight : FormatSpec(), layer.weight);
        if (contents.isCorrected(entry)) {
            row(entry.name + ".lora_a", plan.rank, site.in, plan.formats.a, layer.a);
            row(entry.name + ".lora_b", site.out, plan.rank, plan.formats.b, layer.b);
        }
    }
    return text;
}

std::vector<ExportProblem> check(const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems = ggufModelProblems(source.model().config());
    if (!isUsable(problems))
        return problems;
    for (ExportProblem &problem : modelProblems(source))
        problems.push_back(std::move(problem));
    try {
        const GgufTokenizer tokenizer = ggufTokenizer(source.checkpoint().folder(), source.model().config().vocabulary);
        for (const std::string &sentence : tokenizer.differences)
            problems.push_back(exportWarning("tokenizer", sentence));
    } catch (const Error &error) {
        problems.push_back(exportError("tokenizer", error.what()));
    }
    // Layers that take far more room than their format says, by format and type.
    std::map<std::pair<std::string, GgmlType>, std::vector<const LinearSite *>> wide;
    for (const auto &[site, types] : usualTypes(source, options)) {
        const LayerPlan &plan = source.planFor(*site);
        if (!plan.quantize || isFloatFormat(plan.formats.weight))
            continue;
        const double bits = makeQuantizer(plan.formats.weight)->bitsPerElement({site->out, site->in});
        if (ggmlBlock(types.weight.type).bitsPerElement() > 1.5 * bits)
            wide[{shortName(plan.formats.weight), types.weight.type}].push_back(site);
    }
    for (const auto &[what, sites] : wide)
        problems.push_back(exportWarning(
            sites.size() == 1 ? layerPlace(*sites.front()) : fmt::format("{} layers", sites.size()),
            fmt::format("{} in rows of {} elements is stored as {}, {} bits a weight, where no smaller type of GGUF holds it; "
                        "{} says what "
                        "each layer got",
                        what.first, sites.front()->in, toString(what.second), ggmlBlock(what.second).bitsPerElement(),
                        tableFile)));
    return problems;
}

std::uint64_t bytes(const ExportSource &source, const ExportOptions &options)
{
    const Contents contents{source, ggufEntries(source.model()), usualTypes(source, options)};
    std::uint64_t bytes = ggufFileBytes(baseMetadata(contents), baseTensors(contents));
    if (source.largestRank() > 0)
        bytes += ggufFileBytes(adapterMetadata(source), adapterTensors(contents));
    return bytes + tableBytesPerTensor * 3 * contents.entries.size();
}

CardNotes card(const ExportSource &source, const ExportOptions &options)
{
    const bool corrected = source.largestRank() > 0;
    const std::string lora = corrected ? fmt::format(" --lora {{}}/{}", adapterFile) : "";
    const std::string model = fmt::format("-m {{}}/{}{}", baseFile, lora);
    CardNotes notes;
    notes.contents.push_back(fmt::format("`{}`: the quantized model, with hyper-parameters and tokenizer", baseFile));
    if (corrected)
        notes.contents.push_back(fmt::format("`{}`: the correction A B of every layer, as a LoRA adapter", adapterFile));
    notes.contents.push_back(fmt::format("`{}`: type, bits and error of every linear layer as it is stored", tableFile));
    notes.launch = {
        {"llama.cpp", "sh", fmt::format("llama-cli {} -p \"Once upon a time\" -n 100", model)},
        {"llama.cpp as a server", "sh", fmt::format("llama-server {}", model)},
        {"Perplexity by llama.cpp", "sh", fmt::format("llama-perplexity {} -f FILE", model)},
    };
    if (corrected)
        notes.remarks = {
            fmt::format("Without `--lora` llama.cpp runs the bare quantized model, without its correction; `--lora-scaled {} 0` "
                        "does so, too.", adapterFile),
            "Builds of llama.cpp for CPUs from before 26 March 2025 crash when an adapter meets weights that they repack "
            "(Q4_0); newer ones, or such a "
            "build with -DGGML_CPU_AARCH64=OFF, run it.",
        };
    notes.remarks.push_back("llama.cpp rounds activations to 8 bits (or to half precision, for F16 weights) in products on the "
                            "CPU, and its key/value cache to "
                            "half precision; the figures above were measured in float32.");
    bool mxfp4 = false, nvfp4 = false, tiny = false;
    for (const auto &[site, types] : usualTypes(source, options)) {
        const LayerPlan &plan = source.planFor(*site);
        tiny = tiny || (plan.quantize && plan.formats.weight.name == "block_fp");
        mxfp4 = mxfp4 || types.weight.type == GgmlType::MXFP4;
        nvfp4 = nvfp4 || types.weight.type == GgmlType::NVFP4;
    }
    if (tiny)
        notes.remarks.push_back(fmt::format("The format block_fp leaves values up to 1e-8 as they are, for which no GGUF block "
                                            "has room: they are "
                                            "stored as 0, and `{}` says what that changes.",
                                            tableFile));
    if (mxfp4)
        notes.remarks.push_back("Tensors of type MXFP4 need a llama.cpp of August 2025 or later.");
    if (nvfp4)
        notes.remarks.push_back("Tensors of type NVFP4 need a llama.cpp of 2026.");
    return notes;
}

void write(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    const Contents contents{source, ggufEntries(source.model()), chooseTypes(source, options, context)};
    writeBase(contents, folder, context);
    if (source.largestRank() > 0)
        writeAdapter(contents, folder, context);
    folder.writeText(tableFile, typeTableText(contents));
}

// What llama.cpp asks of an adapter (its src/llama-adapter.cpp).
void verifyAdapter(const GgufFile &base, const GgufFile &adapter)
{
    const auto refuse = [&](const GgufTensor &tensor, const std::string &message) {
        throw Error(ErrorCode::Shape, adapter.path(), fmt::format("tensor '{}'", tensor.name), message);
    };
    if (adapter.text("general.architecture") != base.text("general.architecture"))
        throw Error(ErrorCode::Format, adapter.path(), "key 'general.architecture'", "is not that of the base");
    for (const GgufTensor &tensor : adapter.tensors()) {
        if (!tensor.name.ends_with(".lora_a"))
            continue;
        const std::string name = tensor.name.substr(0, tensor.name.size() - 7);
        const GgufTensor *weight = base.findTensor(name);
        const GgufTensor *b = adapter.findTensor(name + ".lora_b");
        if (!weight || !b)
            refuse(tensor, weight ? "has no lora_b beside it" : "has no weight in the base");
        if (tensor.shape[1] != weight->shape[1] || b->shape[0] != weight->shape[0] || b->shape[1] != tensor.shape[0])
            refuse(tensor, fmt::format("shapes {} and {} do not fit {}", toString(tensor.shape), toString(b->shape),
                                       toString(weight->shape)));
    }
}

void verify(const ExportSource &source, const ExportOptions &, const std::string &folder)
{
    const GgufFile base(folder + "/" + baseFile);
    if (base.tensors().size() != ggufEntries(source.model()).size())
        throw Error(ErrorCode::Format, base.path(), {}, fmt::format("has {} tensors", base.tensors().size()));
    if (source.largestRank() > 0)
        verifyAdapter(base, GgufFile(folder + "/" + adapterFile));
}

}  // namespace

Exporter ggufExporter()
{
    ExporterInfo info;
    info.name = "gguf";
    info.title = "GGUF model and LoRA adapter for llama.cpp";
    info.meaning = "The quantized model in GGUF blocks that hold W_q exactly, and the correction as an adapter that llama.cpp, "
                   "its server and what is "
                   "built on them add while they run. Saves memory; runs on CPUs and GPUs.";
    info.options = {
        choiceParameter(inexactName, {"widen", "q8_0", "refuse"},
                        "Layers whose format no GGUF block holds exactly: the smallest float type that does, Q8_0 with the loss "
                        "written down, or an "
                        "error that says the loss."),
        choiceParameter(adapterTypeName, {"exact", "f32", "bf16", "f16", "q8_0"},
                        "Element type of A and B; exact: the smallest that holds them. Rows that are no whole blocks of Q8_0 "
                        "become F16."),
    };
    return {std::move(info), check, bytes, card, write, verify};
}

}  // namespace lqer
