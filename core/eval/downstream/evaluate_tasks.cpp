// SPDX-License-Identifier: Apache-2.0
#include "core/eval/downstream/evaluate_tasks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/eval/downstream/python_random.h"
#include "core/eval/downstream/task_rows.h"
#include "core/text/rolling_windows.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

constexpr std::uint32_t shotSeed = 1234;  // lm-eval's fewshot_random_seed
constexpr std::string_view shotDelimiter = "\n\n";

TaskItem itemOf(const TaskDefinition &task, const TaskRow &row)
{
    TaskItem item = task.item(JsonReader(row.value, row.place));
    if (!row.subject.empty())
        item.subject = row.subject;
    if (task.subjects && item.subject.empty())
        JsonReader(row.value, row.place)["subject"].fail("is empty");
    return item;
}

double characters(std::string_view text)
{
    double count = 0;
    for (std::size_t at = 0; at < text.size(); ++count)
        nextCharacter(text, at);
    return count;
}

// Examples for one item after the other, in the order of the file.
class Shots {
public:
    Shots(const TaskDefinition &task, TaskRows rows, std::size_t count, std::string_view split)
        : m_task(task), m_rows(std::move(rows)), m_count(count), m_random(shotSeed)
    {
        // lm-eval draws one more where the split that was named for examples is the task's test split, which also holds where neither is named:
        // tasks that evaluate their validation split have no test split.
        const std::string_view testSplit = task.split == "test" ? task.split : std::string_view();
        m_drawn = count + (split == testSplit ? 1 : 0);
        if (!task.firstShots && m_rows.rows.size() < m_drawn)
            throw Error(ErrorCode::Argument, m_rows.source, {},
                        fmt::format("{} examples are to be drawn for task '{}', found {} rows", m_drawn, task.name, m_rows.rows.size()));
        for (const TaskRow &row : m_rows.rows)
            m_items.push_back(itemOf(task, row));
    }

    std::string before(const TaskRow &row, const TaskItem &item)
    {
        std::string text;
        std::size_t taken = 0;
        for (const std::size_t place : m_task.firstShots ? firstOf(item.subject) : m_random.sample(m_rows.rows.size(), m_drawn)) {
            if (taken == m_count || m_rows.rows[place].value == row.value)
                continue;
            text += m_items[place].shot;
            text += shotDelimiter;
            ++taken;
        }
        return text;
    }

    const std::string &source() const { return m_rows.source; }

private:
    std::vector<std::size_t> firstOf(const std::string &subject) const
    {
        std::vector<std::size_t> places;
        for (std::size_t i = 0; i < m_items.size() && places.size() < m_count; ++i)
            if (m_items[i].subject == subject)
                places.push_back(i);
        if (places.size() < m_count)
            throw Error(ErrorCode::Argument, m_rows.source, {}, fmt::format("{} examples of subject '{}' are wanted, found {}", m_count, subject, places.size()));
        return places;
    }

    const TaskDefinition &m_task;
    TaskRows m_rows;
    std::size_t m_count;
    std::size_t m_drawn = 0;
    PythonRandom m_random;
    std::vector<TaskItem> m_items;
};

// Values one after the other, so that the sums do not depend on threads.
TaskMetric meanOf(std::string name, const std::vector<double> &values)
{
    const auto count = static_cast<double>(values.size());
    double sum = 0;
    for (const double value : values)
        sum += value;
    const double mean = sum / count;
    double squares = 0;
    for (const double value : values)
        squares += (value - mean) * (value - mean);
    return {std::move(name), mean, values.size() > 1 ? std::sqrt(squares / (count - 1) / count) : 0.0};
}

// The first of the largest, as numpy.argmax.
std::size_t largest(const std::vector<double> &values)
{
    return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

// lm-eval's pooled_sample_stderr: of the mean over all items from those of its parts.
double pooledError(const std::vector<TaskResult> &parts, std::string_view metric)
{
    double squares = 0, items = 0;
    for (const TaskResult &part : parts) {
        const auto size = static_cast<double>(part.items);
        const double error = part.find(metric)->standardError;
        squares += (size - 1) * error * error * size;
        items += size;
    }
    const double freedom = items - static_cast<double>(parts.size());
    return freedom > 0 ? std::sqrt(squares / freedom / items) : 0.0;
}

}  // namespace

PreparedTasks::PreparedTasks(std::span<const TaskRequest> requests, const std::string &folder, std::int64_t limit, const TaskRules &rules,
                             const Tokenizer &tokenizer, std::int64_t maxLength, const TaskContext &context)
    : m_limit(limit), m_rules(rules)
{
    if (requests.empty())
        throw Error(ErrorCode::Argument, "no task was asked for");
    if (limit < 0)
        throw Error(ErrorCode::Argument, fmt::format("the number of items must not be negative, found {}", limit));
    context.beginStage("reading tasks", requests.size());
    std::vector<EncodedRequest> encoded;
    for (const TaskRequest &request : requests) {
        context.setDetail(request.task);
        add(request, folder, tokenizer, maxLength, encoded, context);
        context.advance();
    }
    m_scored.emplace(std::move(encoded));
}

void PreparedTasks::add(const TaskRequest &request, const std::string &folder, const Tokenizer &tokenizer, std::int64_t maxLength,
                        std::vector<EncodedRequest> &requests, const TaskContext &context)
{
    const TaskDefinition &definition = taskDefinition(request.task);
    const std::string_view subject = taskSubject(request.task);
    const int fewShot = request.fewShot.value_or(0);
    if (fewShot < 0)
        throw Error(ErrorCode::Argument, fmt::format("task '{}': the number of examples must not be negative, found {}", request.task, fewShot));
    const bool withShots = fewShot > 0 && definition.kind != TaskKind::Pages;  // lm-eval has none for pages either
    if (fewShot > 0 && !withShots)
        logWarning(fmt::format("task '{}' takes no examples; {} were asked for", request.task, fewShot));

    TaskRows rows = readTaskRows(definition, folder, request.file, definition.split, subject);
    std::optional<Shots> shots;
    if (withShots) {
        const std::string_view split = request.shotSplit.empty() ? definition.shots : std::string_view(request.shotSplit);
        const std::string file = split == definition.split ? request.file : std::string();
        shots.emplace(definition, readTaskRows(definition, folder, file, split, subject), static_cast<std::size_t>(fewShot), request.shotSplit);
    }
    Task task;
    task.definition = &definition;
    task.result.task = request.task;
    task.result.fewShot = withShots ? fewShot : 0;
    task.result.source = rows.source;
    task.result.split = definition.split;
    if (shots)
        task.result.shotSource = shots->source();
    // Of subjects the limit is each one's, as lm-eval's is each task's.
    std::map<std::string, std::int64_t> taken;
    bool passages = true;
    for (const TaskRow &row : rows.rows) {
        context.checkStop();
        const TaskItem read = itemOf(definition, row);
        if (m_limit > 0 && taken[read.subject]++ >= m_limit)
            continue;
        passages = passages && (definition.name != "boolq" || row.value.find("passage"));
        Item item{read.id, read.subject, read.gold, read.words, read.bytes, {}, requests.size(), 0};
        for (const std::string &choice : read.choices)
            item.lengths.push_back(characters(choice));
        std::string front = definition.subjects ? subjectDescription(read.subject) : std::string();
        if (shots)
            front += shots->before(row, read);
        for (const TaskPair &pair : read.pairs) {
            if (definition.kind == TaskKind::Pages) {
                const std::optional<TokenId> prefix = tokenizer.bosId() ? tokenizer.bosId() : tokenizer.eosId();
                if (!prefix)
                    throw Error(ErrorCode::Unsupported, row.place, {}, "a page without context needs a tokenizer with a BOS or an EOS token");
                for (TokenWindow &window : rollingWindows(tokenizer.encode(pair.continuation, false), *prefix, maxLength)) {
                    const std::int64_t scored = static_cast<std::int64_t>(window.ids.size()) - window.firstScored;
                    requests.push_back({std::move(window.ids), scored});
                }
            } else {
                requests.push_back(encodeRequest(tokenizer, {front + pair.context, pair.continuation}, m_rules, maxLength, row.place));
            }
        }
        item.requests = requests.size() - item.firstRequest;
        task.items.push_back(std::move(item));
    }
    if (!passages)
        logWarning(fmt::format("{}: questions without their passages; the accuracy does not compare with lm-eval's", escaped(rows.source)));
    task.result.items = static_cast<std::int64_t>(task.items.size());
    m_tasks.push_back(std::move(task));
}

TasksReport PreparedTasks::run(const Transformer &model, ForwardHooks &hooks, const Transformer::ForwardOptions &options, const TaskContext &context,
                               bool keepAnswers) const
{
    const Stopwatch watch;
    context.beginStage("evaluating tasks", m_scored->steps(model, options));
    const std::vector<RequestScore> scores = m_scored->score(model, hooks, options, context);

    TasksReport report;
    report.rules = m_rules;
    report.limit = m_limit;
    report.precision = options.precision;
    report.requests = static_cast<std::int64_t>(scores.size());
    report.windows = static_cast<std::int64_t>(windows().windows.size());
    report.tokens = windows().totalIds;
    for (const Task &task : m_tasks) {
        TaskResult result = task.result;
        std::map<std::string, std::vector<double>> right;  // by subject
        std::vector<double> accurate, accurateNormalized, sums;
        double total = 0;
        std::int64_t words = 0, bytes = 0;
        for (const Item &item : task.items) {
            ItemResult answer{item.id, item.gold, {}, {}, {}};
            std::vector<double> normalized;
            for (std::size_t i = 0; i < item.requests; ++i) {
                const RequestScore &score = scores[item.firstRequest + i];
                answer.sums.push_back(score.sum);
                answer.tokens.push_back(m_scored->request(item.firstRequest + i).scored);
                answer.greedy.push_back(score.greedy);
                if (task.definition->kind == TaskKind::Choices)
                    normalized.push_back(score.sum / std::max(item.lengths[i], 1.0));
                total += score.sum;
            }
            words += item.words;
            bytes += item.bytes;
            if (task.definition->kind == TaskKind::Choices) {
                accurate.push_back(largest(answer.sums) == item.gold);
                accurateNormalized.push_back(largest(normalized) == item.gold);
                right[item.subject].push_back(accurate.back());
            } else if (task.definition->kind == TaskKind::Continuation) {
                accurate.push_back(answer.greedy.front());
                sums.push_back(answer.sums.front());
            }
            if (keepAnswers)
                result.answers.push_back(std::move(answer));
        }
        switch (task.definition->kind) {
        case TaskKind::Choices:
            result.metrics.push_back(meanOf("acc", accurate));
            if (task.definition->normalized)
                result.metrics.push_back(meanOf("acc_norm", accurateNormalized));
            if (task.definition->subjects && right.size() > 1) {
                for (const auto &[subject, values] : right) {
                    TaskResult part;
                    part.task = fmt::format("{}_{}", task.definition->name, subject);
                    part.fewShot = result.fewShot;
                    part.items = static_cast<std::int64_t>(values.size());
                    part.metrics.push_back(meanOf("acc", values));
                    result.subjects.push_back(std::move(part));
                }
                result.metrics.front().standardError = pooledError(result.subjects, "acc");
            }
            break;
        case TaskKind::Continuation: {
            const TaskMetric mean = meanOf("", sums);
            const double perplexity = std::exp(-mean.value);
            result.metrics.push_back(meanOf("acc", accurate));
            result.metrics.push_back({"perplexity", perplexity, perplexity * mean.standardError});
            break;
        }
        case TaskKind::Pages:
            result.metrics.push_back({"word_perplexity", std::exp(-total / static_cast<double>(std::max<std::int64_t>(words, 1))), 0});
            result.metrics.push_back({"byte_perplexity", std::exp(-total / static_cast<double>(std::max<std::int64_t>(bytes, 1))), 0});
            result.metrics.push_back({"bits_per_byte", -total / static_cast<double>(std::max<std::int64_t>(bytes, 1)) / std::numbers::ln2, 0});
            break;
        }
        report.tasks.push_back(std::move(result));
    }
    report.seconds = watch.seconds();
    return report;
}

}  // namespace lqer
