// SPDX-License-Identifier: Apache-2.0
#include "core/export/adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <re2/re2.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/export/checkpoint_files.h"
#include "core/export/exact_type.h"
#include "core/io/safetensors.h"
#include "core/quant/formats/list.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr const char *adapterTypeName = "adapter_dtype";
constexpr std::uint64_t configBytesPerLayer = 512;
constexpr Index vllmRanks[] = {1, 8, 16, 32, 64, 128, 256, 320, 512};

std::vector<const LinearSite *> correctedSites(const ExportSource &source)
{
    std::vector<const LinearSite *> sites;
    for (const LinearSite &site : source.model().linearSites())
        if (source.isCorrected(site))
            sites.push_back(&site);
    return sites;
}

DType exactFactors(const ExportSource &source)
{
    std::optional<DType> type;
    for (const LinearSite *site : correctedSites(source))
        for (const FormatSpec *format : {&source.planFor(*site).formats.a, &source.planFor(*site).formats.b})
            type = type ? commonType(*type, exactType(*format, DType::F32)) : exactType(*format, DType::F32);
    return type.value_or(DType::F32);
}

DType factorType(const ExportSource &source, const ExportOptions &options)
{
    const std::string &choice = optionText(options, adapterTypeName);
    return choice == "exact" ? exactFactors(source) : floatType(choice, source.model());
}

std::string leafOf(const std::string &module)
{
    return module.substr(module.rfind('.') + 1);
}

Json configOf(const ExportSource &source)
{
    const Index largest = source.largestRank();
    // Keys are module names as they are: their dots match any character, which no other module's name uses, and older versions of PEFT
    // look the name itself up.
    Json ranks = Json::object();
    bool transposed = false;
    for (const LinearSite *site : correctedSites(source)) {
        if (source.planFor(*site).rank != largest)
            ranks.set(site->name, source.planFor(*site).rank);
        transposed = transposed || site->storedTransposed;
    }
    return adapterConfig({.base = "../base", .rank = largest, .alpha = largest, .transposed = transposed,
                          .targets = adapterTargets(source.model().linearSites(), [&](const LinearSite &site) { return source.isCorrected(site); }),
                          .rankPattern = ranks, .alphaPattern = ranks});
}

// Each pair of a column of A and a row of B is shifted by a power of two until both reach equally high: their product stays what it is, and
// float16 with its few exponents holds both.
void balance(LowRankCorrection &correction)
{
    for (Index i = 0; i < correction.rank(); ++i) {
        const float a = correction.a.col(i).cwiseAbs().maxCoeff();
        const float b = correction.b.row(i).cwiseAbs().maxCoeff();
        if (!(a > 0 && b > 0))
            continue;
        const int shift = (std::ilogb(b) - std::ilogb(a)) / 2;
        correction.a.col(i) *= std::ldexp(1.0F, shift);
        correction.b.row(i) *= std::ldexp(1.0F, -shift);
    }
}

// Whether vLLM and SGLang load adapters for this family.
bool isServedWithAdapters(const ExportSource &source)
{
    return source.model().config().family != "gpt2" && vllmMaxRank(source.largestRank()) > 0;
}

}  // namespace

Json adapterConfig(const AdapterSettings &settings)
{
    return Json::object().set("peft_type", "LORA").set("task_type", "CAUSAL_LM").set("base_model_name_or_path", settings.base).set("inference_mode", true)
        .set("r", settings.rank).set("lora_alpha", settings.alpha).set("lora_dropout", settings.dropout).set("bias", "none").set("fan_in_fan_out", settings.transposed)
        .set("use_rslora", false).set("use_dora", false).set("modules_to_save", Json()).set("init_lora_weights", true)
        .set("layers_to_transform", Json()).set("layers_pattern", Json()).set("target_modules", settings.targets)
        .set("rank_pattern", settings.rankPattern).set("alpha_pattern", settings.alphaPattern);
}

std::string adapterTensor(const LinearSite &site, const char *factor)
{
    return fmt::format("base_model.model.{}.lora_{}.weight", site.name, factor);
}

Json adapterTargets(std::span<const LinearSite> sites, const std::function<bool(const LinearSite &)> &chosen)
{
    std::map<std::string, bool> leaves;  // last part of the name -> all of them are chosen
    for (const LinearSite &site : sites) {
        const auto [place, isNew] = leaves.emplace(leafOf(site.name), true);
        place->second = place->second && chosen(site);
    }
    Json targets = Json::array();
    for (const auto &[leaf, all] : leaves)
        if (all)
            targets.append(leaf);
    for (const LinearSite &site : sites)
        if (chosen(site) && !leaves.at(leafOf(site.name)))
            targets.append(site.name);
    return targets;
}

const char *const bareBaseRemark =
    "Requests to the bare base model run without the correction: in vLLM and SGLang name the adapter's model in the request, in transformers load "
    "the adapter.";

ExportOption adapterTypeOption()
{
    return choiceParameter(adapterTypeName, {"exact", "f32", "bf16", "f16"},
                           "Element type of A and B in the adapter; exact: the narrowest that holds them as the recipe's formats made them.");
}

std::vector<ExportProblem> adapterProblems(const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems;
    const Index rank = source.largestRank();
    if (rank == 0) {
        problems.push_back(exportWarning("recipe", "corrects no layer: no adapter is written"));
        return problems;
    }
    if (vllmMaxRank(rank) == 0)
        problems.push_back(exportWarning("recipe", fmt::format("rank {} is above {}, the largest that vLLM takes", rank, std::ranges::max(vllmRanks))));
    const DType chosen = factorType(source, options), exact = exactFactors(source);
    if (chosen != exact && chosen != DType::F32)
        problems.push_back(exportWarning(fmt::format("option '{}'", adapterTypeName),
                                         fmt::format("A and B are rounded to {}; {} holds them as they were measured", toString(chosen), toString(exact))));
    return problems;
}

std::uint64_t adapterBytes(const ExportSource &source, const ExportOptions &options)
{
    const std::uint64_t item = itemSize(factorType(source, options));
    std::uint64_t bytes = 4096;
    for (const LinearSite *site : correctedSites(source))
        bytes += static_cast<std::uint64_t>((site->in + site->out) * source.planFor(*site).rank) * item + 2 * configBytesPerLayer;
    return bytes;
}

void writeAdapter(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context)
{
    const std::vector<const LinearSite *> sites = correctedSites(source);
    if (sites.empty())
        return;
    const DType dtype = factorType(source, options);
    const bool exact = optionText(options, adapterTypeName) == "exact";
    std::vector<TensorInfo> tensors;
    for (const LinearSite *site : sites) {
        const Index rank = source.planFor(*site).rank;
        tensors.push_back({.name = adapterTensor(*site, "A"), .dtype = dtype, .shape = {rank, site->in}});
        tensors.push_back({.name = adapterTensor(*site, "B"), .dtype = dtype, .shape = {site->out, rank}});
    }
    context.beginStage("writing the adapter", sites.size());
    folder.writeJson(std::string(adapterFolder) + adapterConfigName, configOf(source));
    SafetensorsWriter writer(folder.at(std::string(adapterFolder) + adapterWeightsName), std::move(tensors), {{"format", "pt"}});
    for (const LinearSite *site : sites) {
        context.checkStop();
        context.setDetail(site->name);
        LowRankCorrection correction = source.layer(*site, {.correction = true}, context.silent()).correction;
        if (dtype == DType::F16 && !exact)
            balance(correction);
        writer.write(floatTensor(adapterTensor(*site, "A"), dtype, Matrix(correction.a.transpose()), exact));
        writer.write(floatTensor(adapterTensor(*site, "B"), dtype, Matrix(correction.b.transpose()), exact));
        context.advance();
    }
    folder.commit(writer.finished());
}

void verifyAdapter(const ExportSource &source, const std::string &folder)
{
    const std::vector<const LinearSite *> sites = correctedSites(source);
    if (sites.empty())
        return;
    const std::string configPath = (fs::path(folder) / adapterFolder / adapterConfigName).string();
    const SafetensorsFile file((fs::path(folder) / adapterFolder / adapterWeightsName).string());
    const Json json = readJsonFile(configPath);
    const JsonReader config(json, configPath);
    std::vector<std::pair<std::string, std::int64_t>> patterns;
    for (const auto &[key, value] : config["rank_pattern"].value().asObject())
        patterns.emplace_back(fmt::format("(.*\\.)?({})", key), value.asInteger());
    for (const LinearSite *site : sites) {
        std::int64_t rank = config["r"].integer(1, INT64_MAX);
        for (const auto &[pattern, value] : patterns) {
            if (RE2::FullMatch(site->name, pattern)) {
                rank = value;
                break;
            }
        }
        const TensorInfo *a = file.find(adapterTensor(*site, "A"));
        const TensorInfo *b = file.find(adapterTensor(*site, "B"));
        if (rank != source.planFor(*site).rank || !a || !b || a->shape != Shape{rank, site->in} || b->shape != Shape{site->out, rank})
            throw Error(ErrorCode::Format, configPath, layerPlace(*site),
                        fmt::format("its factors do not read back with rank {}", source.planFor(*site).rank));
    }
}

Index vllmMaxRank(Index rank)
{
    const auto found = std::ranges::find_if(vllmRanks, [rank](Index offered) { return offered >= rank; });
    return found == std::end(vllmRanks) ? 0 : *found;
}

std::string adapterContents(const ExportSource &source, const ExportOptions &options)
{
    return fmt::format("`adapter/`: A and B of {} layers as a LoRA adapter (PEFT), ranks up to {}, scaling 1, in {}", correctedSites(source).size(),
                       source.largestRank(), torchName(factorType(source, options)));
}

std::vector<LaunchNote> adapterLaunch(const ExportSource &source)
{
    if (source.largestRank() == 0)
        return {{"transformers", "python",
                 "from transformers import AutoModelForCausalLM\nmodel = AutoModelForCausalLM.from_pretrained(\"{}/base\", torch_dtype=\"auto\")"},
                {"vLLM", "sh", "vllm serve {}/base"}};
    std::vector<LaunchNote> notes{{"transformers + peft", "python",
                                   "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
                                   "from peft import PeftModel\n"
                                   "base = AutoModelForCausalLM.from_pretrained(\"{}/base\", torch_dtype=\"auto\")\n"
                                   "model = PeftModel.from_pretrained(base, \"{}/adapter\")\n"
                                   "tokenizer = AutoTokenizer.from_pretrained(\"{}/base\")"}};
    if (isServedWithAdapters(source)) {
        notes.push_back({"vLLM (name the model `corrected` in requests)", "sh",
                         fmt::format("vllm serve {{}}/base --enable-lora --max-lora-rank {} --lora-modules corrected={{}}/adapter", vllmMaxRank(source.largestRank()))});
        notes.push_back({"SGLang (name the adapter `corrected` in requests)", "sh",
                         "python -m sglang.launch_server --model-path {}/base --lora-paths corrected={}/adapter"});
    }
    return notes;
}

}  // namespace lqer
