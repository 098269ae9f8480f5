// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/model_options.h"
#include "app/cli/session.h"
#include "app/cli/text_options.h"
#include "app/cli/text_table.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/eval/format.h"
#include "core/pipeline/adapt.h"

namespace lqer::cli {

namespace {

struct AdaptCommand {
    std::string type;
    ModelOptions model;
    std::string folder;
    AdaptOptions adapt;
    std::string dataFolder;
    TextOptions calibration{"calibration", "calibration-"};
    std::int64_t labels = 2;
    std::vector<std::string> modulesToSave;
    std::string deviceMap, calibrationSet, calibrationSetType;
    WindowChange windows;
    int workers = 8;
    bool overwriteCache = false;
};

// adapt_and_save_args.yaml: the keys of the official program's arguments, in the order it writes them.
Json argumentsOf(const AdaptCommand &command, const LoadedModel &model, const TokenWindows *windows)
{
    const AdaptOptions &adapt = command.adapt;
    Json targets;
    if (!adapt.targets.empty()) {
        targets = Json::array();
        for (const std::string &target : adapt.targets)
            targets.append(target);
    }
    Json json = Json::object();
    json.set("adapter_init", adapt.init).set("device_map", "cpu").set("lora_alpha", adapt.alpha).set("lora_dropout", adapt.dropout);
    json.set("lora_modules_to_save", Json()).set("lora_rank", adapt.rank).set("lora_target_modules", targets).set("loftq_num_iters", adapt.loftqIterations);
    json.set("model_name_or_path", model.summary().folder).set("model_type", command.type).set("mxint_block_size", adapt.mxintBlockSize);
    json.set("num_labels", command.labels).set("num_workers", command.workers).set("output_dir", command.folder);
    json.set("overwrite_dataset_cache", false).set("overwrite_output_dir", adapt.overwrite).set("peek_post_init_metrics", adapt.peek);
    json.set("qera_calibration_batch_size", adapt.calibrationBatch).set("qera_calibration_set", windows ? Json(windows->source) : Json());
    json.set("qera_calibration_set_type", "pretrain");
    json.set("qera_max_seq_length", windows ? Json(windows->options.length) : Json());
    json.set("qera_num_calibration_samples", windows ? Json(static_cast<std::uint64_t>(windows->windows.size())) : Json());
    json.set("qera_scaling_mode", adapt.scaling).set("quant_bits", adapt.quantBits).set("quant_type", adapt.quantType).set("seed", adapt.seed);
    return json;
}

// The official name of the data, "wikitext2_peft": the same rows as wikitext2's, which its code only cuts otherwise.
TextOptions calibrationOf(const AdaptCommand &command)
{
    TextOptions calibration = command.calibration;
    std::string name = command.calibrationSet;
    for (const std::string_view suffix : {"_peft", "_mlm"})
        if (name.ends_with(suffix))
            name.resize(name.size() - suffix.size());
    if (!name.empty())
        calibration.useDataSet(name);
    return calibration;
}

int writeAdapted(Session &session, const AdaptCommand &command)
{
    if (command.type != "clm")
        throw Error(command.type == "cls" ? ErrorCode::Unsupported : ErrorCode::Argument,
                    command.type == "cls" ? "model type cls: classifiers (RoBERTa, DeBERTa) are not among the model families here, only clm is"
                                          : fmt::format("model type '{}' is not one of clm, cls", command.type));
    checkAdaptOptions(command.adapt);
    if (!command.deviceMap.empty())
        session.console().note("--device-map is ignored: everything runs on the processor");
    if (!command.modulesToSave.empty())
        throw Error(ErrorCode::Unsupported, "--lora-modules-to-save: copies of whole modules are not written into the adapter");
    Opened opened = command.model.open(session);
    std::shared_ptr<const TokenWindows> windows;
    if (adaptNeedsStatistics(command.adapt) || (command.adapt.peek && command.adapt.init != "lora"))
        windows = calibrationOf(command).windows(session, *opened.model, command.windows);
    if (adaptNeedsStatistics(command.adapt))
        command.model.openProject(session, opened);
    const AdaptResult result = adaptModel(session.engine(), *opened.model, opened.project.get(), windows.get(), command.adapt,
                                          argumentsOf(command, *opened.model, windows.get()), command.folder, session.context());
    if (opened.project)
        opened.project->save();
    for (const std::string &warning : result.warnings)
        session.console().note(warning);

    Console &console = session.console();
    Json errors = Json::object();
    if (!result.errors.empty()) {
        TextTable table({{"layer", TextTable::Align::Left}, {"error"}, {"iterations"}});
        for (const LinearSite &site : opened.model->transformer().linearSites()) {
            const auto found = result.errors.find(site.name);
            if (found == result.errors.end())
                continue;
            table.addRow({escaped(shortLayerName(site.name), 60), formatNumber(found->second.back()), std::to_string(found->second.size())});
            Json list = Json::array();
            for (const double error : found->second)
                list.append(error);
            errors.set(site.name, std::move(list));
        }
        console.print(table.toString() + "Error: Frobenius norm of W - base - scaling lora_B lora_A\n\n");
    }
    if (result.postInit)
        console.print(fmt::format("Perplexity after initialisation, on the calibration windows: {}\n", formatPerplexity(result.postInit->perplexity)));
    console.print(fmt::format("Wrote {0}/base_model and {0}/adapter in {1}\n", escaped(command.folder), formatSeconds(result.seconds)));
    Json fields = Json::object().set("folder", command.folder).set("error_dict", std::move(errors)).set("seconds", result.seconds);
    if (result.postInit)
        fields.set("post_init_ppl", result.postInit->toJson());
    console.result("adapt", fields);
    return exitOk;
}

}  // namespace

void addAdaptCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("adapt", "A quantized base model and a LoRA adapter to fine-tune from (LoftQ, QERA, QLoRA)");
    command->footer("Writes OUTDIR/base_model (dequantized safetensors), OUTDIR/adapter (PEFT) and what QERA's adapt_and_save.py writes beside them:\n"
                    "  loftq  alternates Q = quant(W - B A) and the leading part of W - Q\n"
                    "  qera   the leading part of W - Q, weighted by what calibration saw of the layer's input (--qera-scaling-mode diag or rxx)\n"
                    "  qlora  quantizes W, the adapter is PEFT's default: A Kaiming-uniform (seeded), B zero\n"
                    "  lora   leaves W as it is\n"
                    "PEFT computes base + alpha / rank * lora_B lora_A.\n\n"
                    "Examples:\n  lqer adapt clm MODEL loftq OUT --loftq-num-iters 5 --quant-type nf --lora-rank 64\n"
                    "  lqer adapt clm MODEL qera OUT --qera-scaling-mode rxx --quant-type mxint --quant-bits 3 --calibration-text sample.txt");
    const auto options = std::make_shared<AdaptCommand>();
    AdaptOptions &adapt = options->adapt;
    command->add_option("type", options->type, "Kind of model: clm (causal language model)")->required()->type_name("TYPE");
    options->model.addModel(*command);
    command->add_option("init", adapt.init, "loftq, qera, qlora or lora")->required()->type_name("INIT");
    command->add_option("outdir", options->folder, "Folder to make")->required()->type_name("OUTDIR");
    options->model.addProject(*command);
    const std::string quantization = "Quantization", adapter = "Adapter", ignored = "Accepted for the official scripts";
    command->add_option("--quant-type", adapt.quantType, "nf, fp (4 bits as bitsandbytes with double quantization, 2 bits as LoftQ's tables) or mxint")
        ->capture_default_str()->type_name("NAME")->group(quantization);
    command->add_option("--quant-bits", adapt.quantBits, "2, 4; mxint also 3")->capture_default_str()->type_name("N")->group(quantization);
    command->add_option("--mxint-block-size", adapt.mxintBlockSize, "Weights that share an exponent")->capture_default_str()->type_name("N")->check(CLI::Range(1, 1 << 20))->group(quantization);
    command->add_option("--loftq-num-iters", adapt.loftqIterations, "Iterations of loftq")->capture_default_str()->type_name("N")->group(quantization);
    command->add_option("--qera-scaling-mode", adapt.scaling, "Weighting of qera: diag (QERA-approx) or rxx (QERA-exact)")->capture_default_str()->type_name("NAME")->group(quantization);
    command->add_option("--lora-rank", adapt.rank, "Rank of every adapter")->capture_default_str()->type_name("K")->group(adapter);
    command->add_option("--lora-alpha", adapt.alpha, "PEFT scales adapters by alpha / rank")->capture_default_str()->type_name("X")->group(adapter);
    command->add_option("--lora-dropout", adapt.dropout, "For the fine-tuning, written into the adapter's configuration")->capture_default_str()->type_name("X")->group(adapter);
    command->add_option("--lora-target-modules", adapt.targets, "Last parts of module names (default: all linear layers but the head)")->type_name("NAME")->delimiter(',')->group(adapter);
    command->add_option("--seed", adapt.seed, "Of the adapter's A in qlora and lora")->capture_default_str()->type_name("N")->group(adapter);
    command->add_flag("--peek-post-init-metrics", adapt.peek, "Also the perplexity of base and adapter on the calibration windows");
    command->add_flag("--overwrite-output-dir,--ow", adapt.overwrite, "Replace an earlier result of this command at OUTDIR");
    addDataFolder(*command, options->dataFolder, "Calibration data");
    options->calibration.add(*command, 128, options->dataFolder);
    command->add_option("--qera-calibration-set", options->calibrationSet, "As --calibration-data-set, also by the official names (wikitext2_peft, slim_pajama_6b_peft)")
        ->type_name("NAME")->group("Calibration data");
    command->add_option("--qera-num-calibration-samples", options->windows.windows, "As --calibration-windows")->type_name("N")->check(CLI::PositiveNumber)->group("Calibration data");
    command->add_option("--qera-max-seq-length", options->windows.length, "As --calibration-window")->type_name("N")->check(CLI::Range(2, 1 << 24))->group("Calibration data");
    command->add_option("--qera-calibration-batch-size", adapt.calibrationBatch, "Windows in a batch (of --peek-post-init-metrics' mean)")
        ->capture_default_str()->type_name("N")->check(CLI::Range(1, 1 << 20))->group("Calibration data");
    command->add_option("--lora-modules-to-save", options->modulesToSave, "Not supported: refused if given")->type_name("NAME")->group(ignored);
    command->add_option("--device-map", options->deviceMap, "Ignored")->type_name("NAME")->group(ignored);
    command->add_option("--num-workers", options->workers, "Ignored")->type_name("N")->group(ignored);
    command->add_option("--qera-calibration-set-type", options->calibrationSetType, "Of classifiers: ignored")->type_name("NAME")->group(ignored);
    command->add_flag("--overwrite-dataset-cache", options->overwriteCache, "Ignored: nothing is cached")->group(ignored);
    command->add_option("--num-labels", options->labels, "Of classifiers: ignored")->type_name("N")->group(ignored);
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return writeAdapted(session, *options); }; });
}

}  // namespace lqer::cli
