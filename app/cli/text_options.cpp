// SPDX-License-Identifier: Apache-2.0
#include "app/cli/text_options.h"

#include <algorithm>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/io/npy.h"
#include "core/text/data_sets.h"

namespace lqer::cli {

namespace {

constexpr std::int64_t defaultLength = 2048;  // the papers'; a model with less context gets its own

// Rows of different lengths in one rectangle: what lies behind a row's length is padding and is dropped. A row of fewer than two
// tokens has nothing to score.
void cutRows(TokenWindows &windows, const std::string &path)
{
    const Tensor tensor = readNpy(path);
    if (tensor.shape().size() != 1 || tensor.elements() != static_cast<std::int64_t>(windows.windows.size()))
        throw Error(ErrorCode::Shape, path, "",
                    fmt::format("has shape {}, expected one length for each of {} rows", toString(tensor.shape()), windows.windows.size()));
    std::vector<double> lengths(static_cast<std::size_t>(tensor.elements()));
    tensor.copyTo(std::span<double>(lengths));
    Hasher hasher;
    hasher.add(windows.hash);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
        std::vector<TokenId> &ids = windows.windows[i].ids;
        if (!(lengths[i] >= 2 && lengths[i] <= static_cast<double>(ids.size())) || lengths[i] != static_cast<double>(static_cast<std::size_t>(lengths[i])))
            throw Error(ErrorCode::Format, path, fmt::format("row {}", i),
                        fmt::format("length {}, expected a whole number from 2 to {}", lengths[i], ids.size()));
        ids.resize(static_cast<std::size_t>(lengths[i]));
        hasher.add(std::to_string(ids.size()));
    }
    windows.hash = hasher.hex();
}

}  // namespace

void addDataFolder(CLI::App &command, std::string &folder, const std::string &group)
{
    command.add_option("--data", folder, "Folder with the data sets")->envname("LQER_DATA")->type_name("DIR")->group(group);
}

TextOptions::TextOptions(std::string role, std::string prefix)
    : m_role(std::move(role)), m_prefix(std::move(prefix)), m_split(m_role == "calibration" ? "train" : "test")
{
}

void TextOptions::add(CLI::App &command, std::int64_t defaultWindows, const std::string &dataFolder)
{
    m_dataFolder = &dataFolder;
    const std::string dashes = "--" + m_prefix;
    const std::string group = m_role == "calibration" ? "Calibration data" : "Evaluation data";
    m_options.maxWindows = defaultWindows;
    CLI::Option *text = command.add_option(dashes + "text", m_text,
                                           fmt::format("Text file or .jsonl file, also with .gz (default: {}.txt in the model's folder)", m_role));
    text->type_name("FILE")->group(group);
    std::vector<std::string_view> names;
    for (const DataSetInfo &info : dataSets())
        names.push_back(info.name);
    CLI::Option *dataSet = command.add_option(dashes + "data-set", m_dataSet,
                                              fmt::format("Data set by its name, in the folder of --data: {}, or NAME for files NAME.SPLIT.EXT", fmt::join(names, ", ")));
    dataSet->type_name("NAME")->excludes(text)->group(group);
    command.add_option(dashes + "split", m_split, "Split of the data set: train, validation or test")->capture_default_str()->type_name("NAME")->needs(dataSet)->group(group);
    command.add_option(dashes + "rows", m_options.maxRows, "Use the first N lines of a text, or documents of JSON lines (0: all)")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber)
        ->group(group);
    command.add_option(dashes + "field", m_field, "Field of each JSON line")->capture_default_str()->type_name("NAME")->group(group);
    CLI::Option *tokens = command.add_option(dashes + "tokens", m_tokens, "Token ids instead of text: .npy file, int32 or int64, one or two dimensions");
    tokens->type_name("FILE.npy")->excludes(text)->excludes(dataSet)->group(group);
    command.add_option(dashes + "lengths", m_lengths, "Number of ids in each row of the token file; the rest of a row is padding")
        ->type_name("FILE.npy")
        ->needs(tokens)
        ->group(group);
    command.add_option(dashes + "window", m_options.length, "Tokens in a window (default: the model's context, 2048 at most)")
        ->type_name("N")
        ->check(CLI::Range(2, 1 << 24))
        ->group(group);
    command.add_option(dashes + "windows", m_options.maxWindows, "Use the first N windows (0: all)")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber)
        ->group(group);
    command
        .add_option(dashes + "convention", m_convention,
                    "How text becomes windows: joined (GPTQ: whole text once, cut), bos-per-window, sharded (as LQER and QERA do), strided, "
                    "word-perplexity (lm-eval). Default: joined")
        ->type_name("NAME")
        ->group(group);
    command.add_option(dashes + "stride", m_options.stride, "Convention strided: targets scored in each window after the first")
        ->type_name("N")
        ->check(CLI::NonNegativeNumber)
        ->group(group);
    command.add_option(dashes + "shards", m_options.shards, "Convention sharded: contiguous shards of rows")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 20))
        ->group(group);
}

TextSource TextOptions::source(const LoadedModel &model) const
{
    if (!m_dataSet.empty()) {
        if (m_dataFolder->empty())
            throw Error(ErrorCode::Argument, fmt::format("--{}data-set needs the folder with the data: --data DIR, or LQER_DATA in the environment", m_prefix));
        TextSource found = findDataSet(*m_dataFolder, m_dataSet, dataSplitFromString(m_split));
        found.jsonField = m_field;
        return found;
    }
    TextSource source{m_text, m_field};
    if (source.path.empty()) {
        source.path = model.summary().folder + "/" + m_role + ".txt";
        std::error_code error;
        if (!std::filesystem::exists(source.path, error))
            throw Error(ErrorCode::Argument,
                        fmt::format("no {} text: give --{}text FILE, --{}data-set NAME or --{}tokens FILE.npy (there is no {} either)", m_role, m_prefix, m_prefix,
                                    m_prefix, source.path));
    }
    return source;
}

std::shared_ptr<const TokenWindows> TextOptions::windows(Session &session, const LoadedModel &model, const WindowChange &change) const
{
    WindowOptions options = m_options;
    options.length = change.length.value_or(options.length);
    options.maxWindows = change.windows.value_or(options.maxWindows);
    const std::int64_t context = model.summary().contextLength;
    if (options.length == 0)
        options.length = context > 0 ? std::min(context, defaultLength) : defaultLength;
    if (!m_convention.empty())
        options.convention = windowConventionFromString(m_convention);
    options.convention = change.convention.value_or(options.convention);
    if (!m_tokens.empty()) {
        options.convention = WindowConvention::Tokens;
        std::shared_ptr<const TokenWindows> windows = session.engine().tokenWindows(model, m_tokens, options, session.context());
        if (m_lengths.empty())
            return windows;
        TokenWindows cut = *windows;
        cutRows(cut, m_lengths);
        return std::make_shared<const TokenWindows>(std::move(cut));
    }
    if (options.convention == WindowConvention::Tokens)
        throw Error(ErrorCode::Argument, fmt::format("the convention 'tokens' needs --{}tokens FILE.npy", m_prefix));
    return session.engine().windows(model, source(model), options, session.context());
}

}  // namespace lqer::cli
