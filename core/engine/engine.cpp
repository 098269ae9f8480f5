// SPDX-License-Identifier: Apache-2.0
#include "core/engine/engine.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/engine_state.h"
#include "core/eval/quantized_forward.h"
#include "core/import/quantized_checkpoint.h"
#include "core/quant/quantizer.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr double usableShare = 0.9;  // of what the machine has free: the rest keeps it from swapping

std::uint64_t usable(std::uint64_t bytes)
{
    return static_cast<std::uint64_t>(usableShare * static_cast<double>(bytes));
}

CheckpointIdentity identify(const std::string &projectFolder, const LoadedModel &model)
{
    std::error_code error;
    const fs::path folder = fs::absolute(model.summary().folder, error).lexically_normal();
    const fs::path project = fs::absolute(projectFolder, error).lexically_normal();
    return {folder.string(), folder.lexically_relative(project).string(), model.summary().fingerprint, model.summary().architecture};
}

std::shared_ptr<const LoadedModel> openModel(const std::string &folder, std::optional<std::string_view> like, const TaskContext &context)
{
    context.beginStage("opening the checkpoint", 1);
    auto model = std::make_shared<const LoadedModel>(folder, like);
    context.checkStop();
    context.advance();
    return model;
}

}  // namespace

std::string_view toString(Stage stage)
{
    switch (stage) {
    case Stage::Calibrate: return "calibrate";
    case Stage::Decompose: return "decompose";
    case Stage::Evaluate: return "evaluate";
    }
    return "";
}

Stage stageFromString(std::string_view name)
{
    for (const Stage stage : {Stage::Calibrate, Stage::Decompose, Stage::Evaluate})
        if (toString(stage) == name)
            return stage;
    throw Error(ErrorCode::Argument, fmt::format("there is no stage '{}'; there are calibrate, decompose and evaluate", name));
}

// ---- State and what the stages share

Engine::State::State(const EngineOptions &options)
    : pool(options.threads, options.niceness), memoryLimit(options.memoryLimit > 0 ? options.memoryLimit : usable(availableMemory()))
{
}

std::uint64_t Engine::State::freeMemory() const
{
    releaseFreedMemory();
    const std::uint64_t held = residentMemory();
    return std::min(memoryLimit > held ? memoryLimit - held : 0, usable(availableMemory()));
}

std::string chooseCalibration(const Project &project, const LoadedModel &model, const std::string &wanted)
{
    if (!wanted.empty()) {
        if (!project.isCalibrationComplete(wanted))
            throw Error(ErrorCode::NotFound, project.folder(), "", fmt::format("has no complete statistics '{}'", wanted));
        return wanted;
    }
    std::string latest;
    for (const std::string &key : project.calibrationKeys())
        if (project.isCalibrationComplete(key) && project.calibration(key)->model == model.summary().fingerprint)
            latest = key;
    return latest;
}

LayerPlan planFor(const LoadedModel &model, const QuantizationRecipe &recipe, const LinearSite &site)
{
    LayerPlan plan = recipe.planFor(site);
    if (model.base()) {
        plan.quantize = plan.quantize && model.base()->quantizes(site);
        plan.formats.weight = {};
    }
    return plan;
}

ModelPlan planFor(const LoadedModel &model, const QuantizationRecipe &recipe)
{
    ModelPlan plan = recipe.planFor(model.transformer().linearSites());
    for (const LinearSite &site : model.transformer().linearSites())
        plan.layers[site.name] = planFor(model, recipe, site);
    return plan;
}

Matrix quantizedWeight(const LoadedModel &model, const LinearSite &site, const FormatSpec &format, const Matrix &weight,
                       const TaskContext &context)
{
    return model.base() ? model.base()->weight(site) : quantizeWeight(*makeQuantizer(format), weight, site.weightTensor, context);
}

Matrix weightError(const LoadedModel &model, const LinearSite &site, const FormatSpec &format, const Matrix &weight,
                   const TaskContext &context)
{
    return model.base() ? Matrix(weight - model.base()->weight(site))
                        : quantizationError(*makeQuantizer(format), weight, site.weightTensor, context);
}

DecompositionKey decompositionKey(const LoadedModel &model, const LinearSite &site, const FormatSpec &format, ScalingKind scaling,
                                  const std::string &calibration)
{
    return {site.name, model.weightFingerprint(site), withDefaults(format), scaling, calibration,
            model.base() ? model.base()->fingerprint() : std::string()};
}

void requireQuantizationOf(double energy, double error, const QuantizedBase &base, const LinearSite &site)
{
    if (error >= energy && error > 0)
        throw Error(ErrorCode::Conflict, base.path(), fmt::format("layer '{}'", site.name),
                    fmt::format("differs from the original by {:.0f} % of its norm: this is no quantization of the given model",
                                100 * std::sqrt(error / std::max(energy, std::numeric_limits<double>::min()))));
}

const LinearSite &requireSite(const LoadedModel &model, const std::string &layer)
{
    if (const LinearSite *site = model.transformer().findLinear(layer))
        return *site;
    std::vector<std::string> names;
    for (const LinearSite &site : model.transformer().linearSites())
        names.push_back(site.name);
    const std::string near = nearest(layer, names);
    throw Error(ErrorCode::NotFound, model.summary().folder, "",
                fmt::format("has no linear layer '{}'{}", layer, near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

void requireSameCheckpoint(const Project &project, const LoadedModel &model)
{
    const CheckpointIdentity identity = project.checkpoint();
    if (identity.fingerprint != model.summary().fingerprint)
        throw Error(ErrorCode::Conflict, model.summary().folder, "",
                    fmt::format("is not the checkpoint this project is about ({}): its contents differ (fingerprint {}, expected {})",
                                identity.folder, model.summary().fingerprint, identity.fingerprint));
}

void saveAfterFailure(Project &project) noexcept
{
    try {
        if (!project.isReadOnly() && project.isModified())
            project.save();
    } catch (const std::exception &error) {
        logWarning(fmt::format("the project was not saved: {}", error.what()));
    }
}

// ---- Engine: opening things

Engine::Engine(const EngineOptions &options) : m_state(std::make_unique<State>(options)) {}

Engine::~Engine() = default;

ThreadPool &Engine::pool() const
{
    return m_state->pool;
}

std::uint64_t Engine::memoryLimit() const
{
    return m_state->memoryLimit;
}

TaskContext Engine::context(Progress *progress, std::stop_token stop) const
{
    return {&m_state->pool, progress, std::move(stop), nullptr};
}

std::shared_ptr<const LoadedModel> Engine::load(const std::string &folder, const TaskContext &context) const
{
    return openModel(folder, {}, context);
}

std::shared_ptr<const LoadedModel> Engine::withBase(const LoadedModel &model, const std::string &path, const TaskContext &context) const
{
    context.beginStage("opening the quantized checkpoint", 1);
    std::shared_ptr<const QuantizedBase> base = openQuantizedBase(path, model.transformer());
    const std::vector<LinearSite> &sites = model.transformer().linearSites();
    const auto first = std::find_if(sites.begin(), sites.end(), [&](const LinearSite &site) { return base->quantizes(site); });
    if (first == sites.end())
        throw Error(ErrorCode::Conflict, path, "", fmt::format("quantizes none of the model's linear layers ({})", base->description()));
    const Matrix weight = model.transformer().readWeight(*first, context);
    requireQuantizationOf(weight.cast<double>().squaredNorm(), (weight - base->weight(*first)).cast<double>().squaredNorm(), *base, *first);
    context.checkStop();
    context.advance();
    return std::make_shared<const LoadedModel>(model, std::move(base));
}

std::shared_ptr<const TokenWindows> Engine::windows(const LoadedModel &model, const TextSource &source, const WindowOptions &options,
                                                    const TaskContext &context) const
{
    if (!model.tokenizer())
        throw Error(ErrorCode::Unsupported, fmt::format("text cannot be used with this model: {}", model.tokenizerProblem()));
    context.beginStage("reading the text", 1);
    auto windows = std::make_shared<const TokenWindows>(makeWindows(source, *model.tokenizer(), options));
    context.checkStop();
    context.advance();
    return windows;
}

std::shared_ptr<const TokenWindows> Engine::tokenWindows(const LoadedModel &model, const std::string &npyPath,
                                                         const WindowOptions &options, const TaskContext &context) const
{
    context.beginStage("reading the tokens", 1);
    auto windows = std::make_shared<const TokenWindows>(readTokenWindows(npyPath, options, model.summary().vocabulary));
    context.checkStop();
    context.advance();
    return windows;
}

std::shared_ptr<Project> Engine::createProject(const std::string &folder, const LoadedModel &model) const
{
    return Project::create(folder, identify(folder, model));
}

std::shared_ptr<Project> Engine::openProject(const std::string &folder) const
{
    return Project::open(folder);
}

std::shared_ptr<const LoadedModel> Engine::loadFor(const Project &project, const TaskContext &context) const
{
    const CheckpointIdentity identity = project.checkpoint();
    std::error_code error;
    std::string folder = identity.folder;
    if (!fs::exists(folder, error) && !identity.relative.empty())
        folder = (fs::path(project.folder()) / identity.relative).lexically_normal().string();
    if (!fs::exists(folder, error))
        throw Error(ErrorCode::NotFound, project.folder(), "",
                    fmt::format("its checkpoint ({}) is not found at {}: say where it is now", identity.architecture, identity.folder));
    auto model = openModel(folder, identity.fingerprint, context);
    if (model->summary().fingerprint != identity.fingerprint)
        throw Error(ErrorCode::Conflict, folder, "",
                    fmt::format("this checkpoint has changed since the project {} was made (fingerprint {}, expected {}): make a new "
                                "project for it, or say where the old one is",
                                project.folder(), model->summary().fingerprint, identity.fingerprint));
    return model;
}

void Engine::relocate(Project &project, const LoadedModel &model) const
{
    const std::string stored = project.checkpoint().fingerprint;
    if (model.checkpoint().fingerprint(stored) != stored)
        requireSameCheckpoint(project, model);
    CheckpointIdentity identity = identify(project.folder(), model);
    identity.fingerprint = stored;  // in its form: part of the keys of all that the project holds
    project.setCheckpoint(identity);
    project.save();
}

std::vector<RecipeProblem> Engine::check(const QuantizationRecipe &recipe, const LoadedModel &model, const Project *project,
                                         const std::string &calibration) const
{
    HasStatistics known;
    if (project) {
        const std::string key = chooseCalibration(*project, model, calibration);
        const auto stats = key.empty() ? nullptr : project->calibration(key);
        known = [stats](std::string_view site, ScalingKind kind) {
            const auto found = stats ? stats->sites.find(std::string(site)) : decltype(stats->sites.end()){};
            return kind == ScalingKind::Identity
                   || (stats && found != stats->sites.end() && (kind != ScalingKind::Exact || stats->options.autocorrelation)
                       && (kind != ScalingKind::MeanAbs || found->second.hasMagnitudes()));
        };
    }
    return lqer::check(recipe, model.transformer().linearSites(), known);
}

std::vector<std::shared_ptr<const EvaluationReport>> Engine::reports(const Project &project) const
{
    std::vector<std::shared_ptr<const EvaluationReport>> reports;
    for (const StoredReport &stored : project.reports()) {
        try {
            reports.push_back(std::make_shared<const EvaluationReport>(
                EvaluationReport::fromJson(*stored.report, fmt::format("{}/project.h5/reports/{}", project.folder(), stored.id))));
        } catch (const Error &error) {
            logWarning(fmt::format("a report is left out: {}", error.what()));
        }
    }
    return reports;
}

// ---- variants of a recipe

QuantizationRecipe withScaling(const QuantizationRecipe &recipe, ScalingKind scaling)
{
    QuantizationRecipe variant = recipe;
    variant.name = fmt::format("{} ({})", recipe.name, toString(scaling));
    variant.defaults.scaling = scaling;
    for (RecipeRule &rule : variant.rules)
        rule.settings.scaling.reset();
    for (auto &[layer, settings] : variant.layers)
        settings.scaling.reset();
    return variant;
}

QuantizationRecipe withoutCorrection(const QuantizationRecipe &recipe)
{
    QuantizationRecipe variant = recipe;
    variant.name = fmt::format("{} (plain)", recipe.name);
    variant.defaults.rank = 0;
    for (RecipeRule &rule : variant.rules)
        rule.settings.rank.reset();
    for (auto &[layer, settings] : variant.layers)
        settings.rank.reset();
    return variant;
}

}  // namespace lqer
