// SPDX-License-Identifier: Apache-2.0
#include <deque>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/cli/report_tables.h"
#include "app/cli/text_options.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/pipeline/ptq_chunks.h"
#include "core/pipeline/ptq_pipeline.h"

namespace lqer::cli {

namespace {

// The flags of one command, as the papers' scripts have them.
class QeraOptions {
public:
    void add(CLI::App &command, bool chunked)
    {
        command.add_option("config", m_config, "QERA's configuration")->required()->type_name("CONFIG.yaml");
        command.add_option("--model", m_model, "Where the model lies that the configuration names")->type_name("DIR");
        addDataFolder(command, m_data, "Data");
        for (const QeraFlag &flag : qeraFlags()) {
            if (chunked ? !flag.ofChunked : !flag.ofWhole)
                continue;
            Stated &stated = m_stated.emplace_back(Stated{&flag, {}, 0, {}, nullptr});
            const std::string meaning(flag.meaning);
            switch (flag.kind) {
            case QeraFlag::Kind::Text:
                stated.option = command.add_option(flag.option(), stated.text, meaning)->type_name("NAME");
                break;
            case QeraFlag::Kind::Integer:
                stated.option = command.add_option(flag.option(), stated.integer, meaning)->type_name("N");
                break;
            case QeraFlag::Kind::Texts:
                stated.option = command.add_option(flag.option(), stated.texts, meaning)->type_name("NAMES")->delimiter(',');
                break;
            case QeraFlag::Kind::Switch:
                stated.option = command.add_flag(flag.option(), meaning);
                break;
            }
            stated.option->group("Keys of the configuration");
        }
    }

    QeraRequest request() const
    {
        Json flags = Json::object();
        for (const Stated &stated : m_stated) {
            if (stated.option->count() == 0)
                continue;
            Json value(true);
            if (stated.flag->kind == QeraFlag::Kind::Text)
                value = Json(stated.text);
            if (stated.flag->kind == QeraFlag::Kind::Integer)
                value = Json(stated.integer);
            if (stated.flag->kind == QeraFlag::Kind::Texts) {
                value = Json::array();
                for (const std::string &text : stated.texts)
                    value.append(text);
            }
            flags.set(std::string(stated.flag->key), std::move(value));
        }
        return {readQeraConfig(m_config, flags), m_model, m_data};
    }

private:
    struct Stated {
        const QeraFlag *flag;
        std::string text;
        std::int64_t integer;
        std::vector<std::string> texts;
        CLI::Option *option;
    };

    std::string m_config, m_model, m_data;
    std::deque<Stated> m_stated;
};

std::string errorsText(const std::vector<ApproximationError> &rows)
{
    if (rows.empty())
        return {};
    const auto worst = std::ranges::max_element(rows, {}, &ApproximationError::mse);
    return fmt::format("A and B of {} layers; mean squared error of the weights at most {:.3g} ({})\n", rows.size(), worst->mse,
        escaped(worst->layer));
}

std::string resultsText(const QeraResults &results)
{
    std::string text;
    if (results.perplexity) {
        const PerplexityReport &perplexity = results.perplexity->perplexity.value();
        text += fmt::format(
            "Perplexity {} on {}\n", formatWithError(perplexity.perplexity, perplexity.standardError), dataLine(perplexity));
    }
    if (!results.tasks)
        return text;
    TextTable table(
        {{"task", TextTable::Align::Left}, {"few-shot"}, {"items"}, {"metric", TextTable::Align::Left}, {"value"}, {"stderr"}});
    for (const TaskResult &task : results.tasks->tasks)
        for (const TaskMetric &metric : task.metrics)
            table.addRow({escaped(task.task, 40), std::to_string(task.fewShot), std::to_string(task.items), metric.name,
                fmt::format("{:.4f}", metric.value), fmt::format("{:.4f}", metric.standardError)});
    return text + table.toString();
}

Json rowsJson(const std::vector<ApproximationError> &rows)
{
    Json json = Json::array();
    for (const ApproximationError &row : rows)
        json.append(Json::object().set("layer_name", row.layer).set("mse", row.mse).set("rank", row.rank));
    return json;
}

void addResults(const QeraResults &results, Json &fields)
{
    if (results.perplexity)
        fields.set("report", results.perplexity->toJson());
    if (results.tasks)
        fields.set("tasks", results.tasks->toJson());
}

int runWhole(Session &session, const QeraOptions &options)
{
    const QeraRequest request = options.request();
    const PtqResult result = runPtq(session.engine(), request, session.context());
    std::string text = errorsText(result.layers) + resultsText(result.results);
    if (!request.config.outputDir.empty())
        text += fmt::format("Kept in {}\n", escaped(request.config.outputDir));
    session.console().print(text);
    Json fields = Json::object().set("output_dir", request.config.outputDir).set("layers", rowsJson(result.layers));
    addResults(result.results, fields);
    session.console().result("ptq", fields);
    return exitOk;
}

int runChunk(Session &session, const QeraOptions &options)
{
    const QeraRequest request = options.request();
    const ChunkResult result = runPtqChunk(session.engine(), request, session.context());
    std::string text;
    if (!result.tag.empty())
        text += fmt::format("Chunk {}{}: ", result.tag, result.reused ? ", there already" : "");
    text += errorsText(result.layers);
    if (!result.missing.empty())
        text += fmt::format(
            "{} of {} chunks are missing: {}\n", result.missing.size(), result.chunks, fmt::join(result.missing, ", "));
    else if (!result.evaluating.empty())
        text += fmt::format("All chunks are there; {} and evaluates\n", result.evaluating);
    else if (result.results)
        text += resultsText(*result.results);
    else
        text += "All chunks are there and evaluated\n";
    session.console().print(text);
    Json missing = Json::array();
    for (const std::int64_t chunk : result.missing)
        missing.append(chunk);
    Json fields
        = Json::object().set("output_dir", request.config.outputDir).set("chunk", result.tag).set("reused", result.reused);
    fields.set("missing", std::move(missing))
        .set("layers", rowsJson(result.layers))
        .set("evaluated_here", result.results.has_value());
    if (result.results)
        addResults(*result.results, fields);
    session.console().result("ptq-chunked", fields);
    return exitOk;
}

struct ChunksCommand {
    std::string model, folder;
    std::int64_t layersPerChunk = 8;
};

int checkChunks(Session &session, const ChunksCommand &command)
{
    const auto model = session.engine().load(command.model, session.context());
    const ChunkPlan plan(model->transformer(), command.layersPerChunk);
    std::string text = fmt::format(
        "{} chunks of at most {} measured layers: chunk ids 0 to {}\n", plan.count(), command.layersPerChunk, plan.count() - 1);
    Json fields = Json::object().set("chunks", plan.count());
    if (!command.folder.empty()) {
        std::error_code error;
        if (!std::filesystem::is_directory(command.folder, error))
            throw Error(ErrorCode::NotFound, command.folder, "", "there is no such folder");
        const ChunkState state = chunkState(plan, command.folder);
        text += state.missing.empty() ? "All chunks are there\n" : fmt::format("Missing: {}\n", fmt::join(state.missing, ", "));
        Json missing = Json::array();
        Json running = Json::array();
        for (const std::int64_t chunk : state.missing)
            missing.append(chunk);
        for (const auto &[chunk, holder] : state.running) {
            text += fmt::format("  {}: {}\n", plan.tag(chunk), holder);
            running.append(chunk);
        }
        fields.set("missing", std::move(missing)).set("running", std::move(running));
    }
    session.console().print(text);
    session.console().result("chunks", fields);
    return exitOk;
}

}  // namespace

void addPtqCommands(CLI::App &app, Invocation &invocation)
{
    CLI::App *whole = app.add_subcommand("ptq", "QERA's pipeline from its YAML configuration: calibrate, correct, evaluate");
    whole->footer(
        "A flag replaces the configuration's key of its name. Writes into output_dir: approximation_error.csv, "
        "AB_dict.safetensors,\n"
        "perplexity_results.yaml, lm_eval_results.yaml, config.yaml, and the project project.lqer; interrupted, the same command "
        "carries on.\n"
        "What the official code gets wrong is done as it is meant, and said in a line.\n\n"
        "Examples:\n  lqer ptq w-only-uniform-rank.yaml --model TinyLlama_v1.1 --data DATA --output-dir out\n"
        "  lqer ptq w-only-uniform-rank.yaml --model TinyLlama_v1.1 --data DATA --qera-scaling-mode rxx --disable-lm-eval");
    const auto wholeOptions = std::make_shared<QeraOptions>();
    wholeOptions->add(*whole, false);
    whole->callback([wholeOptions, &invocation] {
        invocation.work = [wholeOptions](Session &session) { return runWhole(session, *wholeOptions); };
    });

    CLI::App *chunked = app.add_subcommand(
        "ptq-chunked", "The same shared out: one chunk of layers, by its --chunk-id; the last one evaluates");
    chunked->footer("Processes with chunk ids of their own share output_dir, on one machine or several; a killed one carries on "
                    "when it is started again.\n"
                    "Statistics are computed by the first and serve all. resources/cluster has a job script for Slurm.\n\n"
                    "Examples:\n  lqer chunks check MODEL 8\n  lqer ptq-chunked w-only-uniform-rank-chunked.yaml --model MODEL "
                    "--data DATA --output-dir out --chunk-id 0\n"
                    "  lqer ptq-chunked w-only-uniform-rank-chunked.yaml --model MODEL --data DATA --output-dir out      "
                    "(evaluate what is there)");
    const auto chunkedOptions = std::make_shared<QeraOptions>();
    chunkedOptions->add(*chunked, true);
    chunked->callback([chunkedOptions, &invocation] {
        invocation.work = [chunkedOptions](Session &session) { return runChunk(session, *chunkedOptions); };
    });

    CLI::App *chunks = app.add_subcommand("chunks", "What chunks a model has, and which a folder lacks");
    chunks->require_subcommand(1);
    CLI::App *check = chunks->add_subcommand("check", "Allowed chunk ids; with -o, those still missing and who works on them");
    const auto command = std::make_shared<ChunksCommand>();
    check->add_option("model", command->model, "The model's folder")->required()->type_name("MODEL");
    check->add_option("layers_per_chunk", command->layersPerChunk, "Measured layers in a chunk")
        ->required()
        ->type_name("N")
        ->check(CLI::Range(1, 1 << 20));
    check->add_option("--output-dir,-o", command->folder, "The chunks' folder")->type_name("DIR");
    check->fallthrough();
    check->callback(
        [command, &invocation] { invocation.work = [command](Session &session) { return checkChunks(session, *command); }; });
}

}  // namespace lqer::cli
