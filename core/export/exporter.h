// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/export/export_folder.h"
#include "core/export/export_source.h"
#include "core/recipe/quantization_recipe.h"

namespace lqer {

// Options of a target are described like parameters of a number format, so that one form, one --help and one check serve both.
using ExportOption = FormatParameter;
using ExportOptions = std::map<std::string, FormatValue>;
// Something that is wrong with an export, or that a person should know before it: place ("layer 'model.layers.0.mlp.up_proj'", "option
// 'adapter_dtype'", "recipe"), message, severity.
using ExportProblem = RecipeProblem;

struct ExporterInfo {
    std::string name;     // for a command line: "peft"
    std::string title;    // for a list: "PEFT adapter over a Hugging Face base"
    std::string meaning;  // two or three sentences: what is written, who loads it, whether it saves memory
    std::vector<ExportOption> options;
    std::string singleFile;  // ".html": the target is one file with this ending; "": a folder
};

// One engine that loads the result, for the model card.
struct LaunchNote {
    std::string engine;    // "vLLM"
    std::string language;  // of the commands, for highlighting: "sh", "python"
    std::string commands;  // exact; the export's folder is called {}: the card puts its name there
};

// What a target adds to the model card (README.md of the export).
struct CardNotes {
    std::vector<std::string> contents;  // "`base/`: the quantized model ...", one line per file or folder
    std::vector<LaunchNote> launch;
    std::vector<std::string> remarks;   // whole sentences
};

// One target. Adding one: a file in core/export/targets that defines `Exporter nameExporter()`, its declaration there in list.h, and a line
// in list.cpp. Dialog, command line, checks, model card and drills follow from the list.
//
// All functions get options that are complete and checked against `info.options` (optionText(), ... read them). They throw Error and
// Cancelled; whoever runs them (export_run.h) makes the folder, checks the disk, verifies and renames.
struct Exporter {
    ExporterInfo info;
    // Everything that would make the result wrong, lossy or impossible to load, found without computing a layer: constraints of
    // engines, formats without an exact type, blocks that do not divide a dimension, rank limits. Errors keep the export from
    // being written; warnings are shown and go into the model card.
    std::vector<ExportProblem> (*check)(const ExportSource &source, const ExportOptions &options);
    // Bytes that will be written: not less, and not much more. The disk is asked for them first.
    std::uint64_t (*bytes)(const ExportSource &source, const ExportOptions &options);
    // Null for a target that is no model: then there is no model card.
    CardNotes (*card)(const ExportSource &source, const ExportOptions &options);
    // Writes everything but README.md and the manifest, through `folder` only. Begins its own progress stage, polls the context.
    void (*write)(const ExportSource &source, const ExportOptions &options, ExportFolder &folder, const TaskContext &context);
    // Opens what was written with the strictest reader there is (sizes and checksums have been compared already). Throws Error.
    void (*verify)(const ExportSource &source, const ExportOptions &options, const std::string &folder);
};

// Every target there is, in the order a person wants to see them.
const std::vector<Exporter> &exporters();
// Throws Error(Argument) naming the nearest known one.
const Exporter &findExporter(std::string_view name);

// Options with every default filled in. Throws Error(Argument): unknown option (with the nearest known), value out of range.
ExportOptions withDefaults(const Exporter &exporter, ExportOptions options);

// Values of complete options; assert that the option is there and of that kind.
const std::string &optionText(const ExportOptions &options, const std::string &name);
std::int64_t optionInteger(const ExportOptions &options, const std::string &name);
bool optionFlag(const ExportOptions &options, const std::string &name);

// Short ways to say a problem.
ExportProblem exportError(std::string place, std::string message);
ExportProblem exportWarning(std::string place, std::string message);
// The place that names a layer.
std::string layerPlace(const LinearSite &site);
// What there is to say about any model that is exported: nothing quantized; formats of attention, and of activations unless the target
// carries them, which engines then do not follow. carriesActivation: null if it carries none.
std::vector<ExportProblem> modelProblems(const ExportSource &source, bool (*carriesActivation)(const LayerPlan &plan) = nullptr);

}  // namespace lqer
