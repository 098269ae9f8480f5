// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/prompts.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "core/text/rolling_windows.h"
#include "core/text/unicode.h"

namespace lqer::prompts {

namespace {

constexpr std::string_view letters = "ABCDE";

// str.strip() of Python.
std::string stripped(std::string_view text)
{
    std::size_t begin = text.size();
    std::size_t end = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t before = at;
        if (isWhiteSpace(nextCharacter(text, at)))
            continue;
        begin = std::min(begin, before);
        end = at;
    }
    if (end == 0)
        return {};
    return std::string(text.substr(begin, end - begin));
}

void replaceAll(std::string &text, std::string_view from, std::string_view to)
{
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
}

std::vector<std::string> strings(const JsonReader &list)
{
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < list.size(); ++i)
        texts.push_back(list.at(i).string());
    return texts;
}

std::string idOf(const JsonReader &row)
{
    if (!row.has("id"))
        return {};
    const Json &id = row["id"].value();
    return id.isString() ? id.asString() : id.dump();
}

// A number, or the digits of one: some data sets keep labels as text.
std::size_t indexOf(const JsonReader &label, std::size_t choices)
{
    if (!label.value().isString())
        return static_cast<std::size_t>(label.integer(0, static_cast<std::int64_t>(choices) - 1));
    const std::string &digits = label.string();
    if (digits.size() != 1 || digits[0] < '0' || digits[0] >= static_cast<char>('0' + choices))
        label.fail(fmt::format("must be a number from 0 to {}, found '{}'; a test split without labels cannot be scored", choices - 1, digits));
    return static_cast<std::size_t>(digits[0] - '0');
}

std::size_t labelOf(const JsonReader &row, std::size_t choices)
{
    return indexOf(row["label"], choices);
}

// Choices and the right one: {text, label} with answerKey as ARC, OpenBookQA and CommonsenseQA have it, or a list with a number.
struct Answers {
    std::vector<std::string> texts;
    std::size_t gold = 0;
};

Answers answersOf(const JsonReader &row)
{
    const JsonReader choices = row["choices"];
    Answers answers;
    answers.texts = strings(choices.value().isArray() ? choices : choices["text"]);
    if (answers.texts.size() < 2)
        choices.fail(fmt::format("must hold at least 2 choices, found {}", answers.texts.size()));
    if (choices.value().isArray()) {
        answers.gold = labelOf(row, answers.texts.size());
        return answers;
    }
    const std::vector<std::string> labels = strings(choices["label"]);
    if (labels.size() != answers.texts.size())
        choices["label"].fail(fmt::format("must be as many as there are choices, {}, found {}", answers.texts.size(), labels.size()));
    const std::string key = stripped(row["answerKey"].string());
    const auto found = std::find(labels.begin(), labels.end(), key);
    if (found == labels.end())
        row["answerKey"].fail(fmt::format("must be one of the labels {}, found '{}'", fmt::join(labels, ", "), key));
    answers.gold = static_cast<std::size_t>(found - labels.begin());
    return answers;
}

// The usual form: one context, and " CHOICE" behind it.
TaskItem chosen(const JsonReader &row, const std::string &context, std::vector<std::string> choices, std::size_t gold)
{
    TaskItem item;
    item.id = idOf(row);
    for (const std::string &choice : choices)
        item.pairs.push_back({context, fmt::format(" {}", choice)});
    item.shot = fmt::format("{} {}", context, choices[gold]);
    item.choices = std::move(choices);
    item.gold = gold;
    return item;
}

TaskItem lettered(const JsonReader &row, std::string context, const Answers &answers, std::size_t count)
{
    if (answers.texts.size() != count)
        row["choices"].fail(fmt::format("must hold {} choices, found {}", count, answers.texts.size()));
    std::vector<std::string> choices;
    for (std::size_t i = 0; i < count; ++i) {
        context += fmt::format("\n{}. {}", letters[i], answers.texts[i]);
        choices.emplace_back(1, letters[i]);
    }
    return chosen(row, context + "\nAnswer:", std::move(choices), answers.gold);
}

// str.capitalize() of Python: the first character upper case and the others lower case. HellaSwag's text has no letters whose title case differs
// from their upper case.
std::string capitalized(std::string_view text)
{
    if (text.empty())
        return {};
    const std::size_t first = characterLength(text.front());
    return uppercase(text.substr(0, first)) + lowercase(text.substr(first));
}

// HellaSwag's own cleaning: what is left of WikiHow's markup goes.
std::string cleaned(std::string_view text)
{
    static const RE2 brackets(R"(\[.*?\])");
    std::string result = stripped(text);
    replaceAll(result, " [title]", ". ");
    RE2::GlobalReplace(&result, brackets, "");
    std::string single;  // str.replace goes on behind what it has put in
    for (std::size_t at = 0; at < result.size(); ++at) {
        single += result[at];
        if (result[at] == ' ' && at + 1 < result.size() && result[at + 1] == ' ')
            ++at;
    }
    return single;
}

// Undoes the tokenisation of WikiText, as lm-eval does, its first pattern's slip included.
std::string detokenized(std::string text)
{
    static const std::string space = R"([\t-\r\x1c-\x20\x{85}\p{Z}]*)";
    static const std::vector<std::pair<std::unique_ptr<RE2>, std::string>> enclosed = [] {
        std::vector<std::pair<std::unique_ptr<RE2>, std::string>> list;
        for (const auto &[open, inner, close, result] :
             {std::array{R"(\()", R"([^)])", R"(\))", R"((\1))"}, std::array{R"(\[)", R"([^\]])", R"(\])", R"([\1])"},
              std::array{R"(\{)", R"([^}])", R"(\})", R"({\1})"}, std::array{R"(")", R"([^"])", R"(")", R"("\1")"}, std::array{"'", "[^']", "'", R"('\1')"}})
            list.emplace_back(std::make_unique<RE2>(fmt::format("{0}{3}({1}*?){3}{2}", open, inner, close, space)), result);
        return list;
    }();
    static const RE2 contraction("/' [0-9]/");
    replaceAll(text, "s '", "s'");
    RE2::GlobalReplace(&text, contraction, "/'[0-9]/");
    for (const auto &[from, to] : {std::pair{" @-@ ", "-"}, std::pair{" @,@ ", ","}, std::pair{" @.@ ", "."}, std::pair{" : ", ": "}, std::pair{" ; ", "; "},
                                   std::pair{" . ", ". "}, std::pair{" ! ", "! "}, std::pair{" ? ", "? "}, std::pair{" , ", ", "}})
        replaceAll(text, from, to);
    for (const auto &[pattern, result] : enclosed)
        RE2::GlobalReplace(&text, *pattern, result);
    for (const auto &[from, to] : {std::pair{"= = = =", "===="}, std::pair{"= = =", "==="}, std::pair{"= =", "=="}, std::pair{" \u00b0 ", "\u00b0"},
                                   std::pair{" \n", "\n"}, std::pair{"\n ", "\n"}, std::pair{" N ", " 1 "}, std::pair{" 's", "'s"}})
        replaceAll(text, from, to);
    return text;
}

std::string question(const JsonReader &row, std::string_view own)
{
    return row[row.has(own) ? own : std::string_view("question")].string();
}

}  // namespace

TaskItem arc(const JsonReader &row)
{
    Answers answers = answersOf(row);
    return chosen(row, fmt::format("Question: {}\nAnswer:", row["question"].string()), std::move(answers.texts), answers.gold);
}

TaskItem openbookqa(const JsonReader &row)
{
    Answers answers = answersOf(row);
    return chosen(row, question(row, "question_stem"), std::move(answers.texts), answers.gold);
}

TaskItem piqa(const JsonReader &row)
{
    const std::string context = fmt::format("Question: {}\nAnswer:", question(row, "goal"));
    if (row.has("choices")) {
        Answers answers = answersOf(row);
        return chosen(row, context, std::move(answers.texts), answers.gold);
    }
    std::vector<std::string> solutions{row["sol1"].string(), row["sol2"].string()};
    return chosen(row, context, std::move(solutions), labelOf(row, 2));
}

TaskItem boolq(const JsonReader &row)
{
    std::string asked = row["question"].string();
    if (!asked.ends_with('?'))  // the data set's own questions have none, and lm-eval writes one
        asked += '?';
    const std::string passage = row.has("passage") ? row["passage"].string() + "\n" : std::string();
    const std::size_t gold = row.has("answer") ? static_cast<std::size_t>(row["answer"].boolean()) : labelOf(row, 2);
    return chosen(row, fmt::format("{}Question: {}\nAnswer:", passage, asked), {"no", "yes"}, gold);
}

TaskItem copa(const JsonReader &row)
{
    const std::string &asks = row["question"].string();
    if (asks != "cause" && asks != "effect")
        row["question"].fail(fmt::format("must be 'cause' or 'effect', found '{}'", asks));
    std::string premise = stripped(row["premise"].string());
    std::size_t last = 0;  // the full stop goes, whatever character it is
    for (std::size_t at = 0; at < premise.size(); nextCharacter(premise, at))
        last = at;
    premise.resize(last);
    std::vector<std::string> choices;
    for (const char *key : {"choice1", "choice2"}) {
        const std::string &choice = row[key].string();
        if (choice.empty())
            row[key].fail("is empty");
        const std::size_t first = characterLength(choice.front());
        choices.push_back(fmt::format(" {}{}", lowercase(choice.substr(0, first)), choice.substr(first)));
    }
    return chosen(row, fmt::format("{} {}", premise, asks == "cause" ? "because" : "therefore"), std::move(choices), labelOf(row, 2));
}

TaskItem hellaswag(const JsonReader &row)
{
    std::vector<std::string> endings;
    for (const std::string &ending : strings(row["endings"]))
        endings.push_back(cleaned(ending));
    if (endings.size() < 2)
        row["endings"].fail(fmt::format("must hold at least 2 endings, found {}", endings.size()));
    const std::string context = cleaned(fmt::format("{}: {} {}", row["activity_label"].string(), row["ctx_a"].string(), capitalized(row["ctx_b"].string())));
    const std::size_t gold = labelOf(row, endings.size());
    return chosen(row, context, std::move(endings), gold);
}

TaskItem commonsenseQa(const JsonReader &row)
{
    return lettered(row, fmt::format("Question: {}", stripped(row["question"].string())), answersOf(row), letters.size());
}

TaskItem mmlu(const JsonReader &row)
{
    Answers answers;
    answers.texts = strings(row["choices"]);
    answers.gold = indexOf(row[row.has("answer") ? "answer" : "label"], std::max<std::size_t>(answers.texts.size(), 1));
    TaskItem item = lettered(row, stripped(row["question"].string()), answers, 4);
    item.subject = row.string("subject", "");
    return item;
}

TaskItem winogrande(const JsonReader &row)
{
    const std::string &sentence = row["sentence"].string();
    const std::size_t blank = sentence.find('_');
    if (blank == std::string::npos)
        row["sentence"].fail("has no blank '_'");
    const std::string &answer = row["answer"].string();
    if (answer != "1" && answer != "2")
        row["answer"].fail(fmt::format("must be '1' or '2', found '{}'; a test split without answers cannot be scored", answer));
    TaskItem item;
    item.id = idOf(row);
    item.gold = answer == "1" ? 0 : 1;
    // The options stand in the context; what follows the blank is scored behind each.
    const std::string rest = fmt::format(" {}", stripped(std::string_view(sentence).substr(blank + 1)));
    for (const char *key : {"option1", "option2"}) {
        const std::string filled = sentence.substr(0, blank) + row[key].string();
        item.choices.push_back(filled);
        item.pairs.push_back({filled, rest});
    }
    item.shot = item.choices[item.gold] + rest;
    return item;
}

TaskItem lambada(const JsonReader &row)
{
    TaskItem item;
    item.id = idOf(row);
    if (row.has("target")) {
        item.pairs = {{row["context"].string(), row["target"].string()}};
    } else {
        const std::string &text = row["text"].string();
        const std::size_t last = text.rfind(' ');
        item.pairs = {{last == std::string::npos ? std::string() : text.substr(0, last), fmt::format(" {}", text.substr(last == std::string::npos ? 0 : last + 1))}};
    }
    item.shot = fmt::format("{} {}", item.pairs[0].context, item.pairs[0].continuation);  // with both spaces, as lm-eval has it
    return item;
}

TaskItem wikitext(const JsonReader &row)
{
    const std::string &page = row[row.has("page") ? "page" : "text"].string();
    TaskItem item;
    item.id = idOf(row);
    item.pairs = {{"", detokenized(page)}};
    item.words = countWords(page);
    item.bytes = static_cast<std::int64_t>(page.size());
    return item;
}

}  // namespace lqer::prompts
