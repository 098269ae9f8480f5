// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/cli/model_options.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/npy.h"

namespace lqer::cli {

namespace {

struct TokenizeOptions {
    ModelOptions model;
    std::string text, field = "text", out;
    bool plain = false;
};

int tokenize(Session &session, const TokenizeOptions &options)
{
    requireWritable(options.out);
    const std::shared_ptr<const LoadedModel> model = options.model.open(session).model;
    const Tokenizer *tokenizer = model->tokenizer();
    if (!tokenizer)
        throw Error(ErrorCode::Unsupported, model->summary().folder, "", fmt::format("has no tokenizer that can be used: {}", model->tokenizerProblem()));
    const TaskContext context = session.context();
    std::vector<TokenId> ids;
    std::size_t bytes = 0;
    for (const std::string &document : readDocuments({options.text, options.field})) {
        context.checkStop();
        const std::vector<TokenId> part = tokenizer->encode(document, !options.plain);
        ids.insert(ids.end(), part.begin(), part.end());
        bytes += document.size();
    }
    context.checkStop();
    Tensor tensor(DType::I32, {static_cast<std::int64_t>(ids.size())});
    if (!ids.empty())
        std::memcpy(tensor.bytes().data(), ids.data(), ids.size() * sizeof(TokenId));
    writeNpy(options.out, tensor);
    session.console().print(fmt::format("{}: {} tokens for {} ({:.2f} bytes per token)\n", escaped(options.out), ids.size(),
                                        formatBytes(static_cast<double>(bytes)), ids.empty() ? 0.0 : static_cast<double>(bytes) / static_cast<double>(ids.size())));
    session.console().result("tokenize", Json::object().set("out", options.out).set("tokens", static_cast<std::int64_t>(ids.size()))
                                             .set("bytes", static_cast<std::int64_t>(bytes)).set("tokenizer", tokenizer->description()));
    return exitOk;
}

}  // namespace

void addTokenizeCommand(CLI::App &app, Invocation &invocation)
{
    CLI::App *command = app.add_subcommand("tokenize", "Turn a text into the model's token ids");
    command->footer("The whole text is encoded at once, with BOS or EOS where the model's own tokenizer adds them. Of a .jsonl file every line is a\n"
                    "document of its own, and the ids follow each other.\n\n"
                    "Example:\n  lqer tokenize MODEL --text book.txt --out ids.npy\n  lqer evaluate MODEL --tokens ids.npy --window 512");
    const auto options = std::make_shared<TokenizeOptions>();
    options->model.addModel(*command);
    command->add_option("--text", options->text, "Text file (UTF-8) or .jsonl file")->required()->type_name("FILE");
    command->add_option("--field", options->field, "Field of each line of a .jsonl file")->capture_default_str()->type_name("NAME");
    command->add_option("--out", options->out, "Token ids, int32, one dimension")->required()->type_name("IDS.npy");
    command->add_flag("--no-special", options->plain, "Without BOS and EOS");
    command->callback([options, &invocation] { invocation.work = [options](Session &session) { return tokenize(session, *options); }; });
}

}  // namespace lqer::cli
