// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cmath>

#include "core/engine/engine.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

// Scores of downstream tasks against those of an independent float64 forward pass (reference/tasks.json of the shared models): tokenizer, encoding
// rule, forward pass and metrics all have to be right for these numbers to agree.
class EngineTasksTest : public QObject {
    Q_OBJECT

private slots:
    void scoresAreThoseOfTheReference_data()
    {
        LQER_NEED_SHARED();
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("task");
        for (const char *model : {"stories260k", "tinystories-656k"})
            for (const char *task : {"arc_easy", "arc_challenge", "piqa", "openbookqa", "lambada_openai"})
                QTest::addRow("%s %s", model, task) << model << task;
    }
    void scoresAreThoseOfTheReference()
    {
        QFETCH(QString, model);
        QFETCH(QString, task);
        const std::string folder = sharedFolder() + "/models/" + model.toStdString();
        const Json file = readJsonFile(folder + "/reference/tasks.json");
        const JsonReader reference = JsonReader(file, "tasks.json")["tasks"][task.toStdString()];

        const Engine engine({.threads = 2});
        TasksOptions options;
        options.dataFolder = sharedFolder() + "/tasks";
        options.limit = 100;
        options.rules = {.bos = true, .boundary = Boundary::CommonPrefix};  // "rule" of the reference
        options.keepAnswers = true;
        const std::vector<TaskRequest> requests{{task.toStdString(), {}}};
        const auto loaded = engine.load(folder, engine.context());
        const auto report = engine.evaluateTasks(*loaded, nullptr, nullptr, requests, options, engine.context());
        const TaskResult &result = report->tasks.front();
        const JsonReader items = reference["items"];
        QCOMPARE(result.answers.size(), items.size());
        for (std::size_t i = 0; i < items.size(); ++i) {
            const ItemResult &answer = result.answers[i];
            const JsonReader item = items.at(i);
            if (item.has("id"))
                QCOMPARE(answer.id, item["id"].string());
            const bool choices = item.has("label");
            for (std::size_t c = 0; c < answer.sums.size(); ++c) {
                const double expected = choices ? item["sum_logprob"].at(c).number() : item["sum_logprob"].number();
                const std::int64_t tokens = (choices ? item["n_cont_tokens"].at(c) : item["n_cont_tokens"]).integer(1, 4096);
                QCOMPARE(answer.tokens[c], tokens);
                // 2e-4 on any log-probability is the reference's tolerance for float32.
                const double off = std::abs(answer.sums[c] - expected);
                QVERIFY2(off <= 2e-4 * static_cast<double>(tokens), qPrintable(QString("item %1, choice %2: %3").arg(i).arg(c).arg(off)));
            }
            if (choices)
                QCOMPARE(static_cast<std::int64_t>(answer.gold), item["label"].integer(0, 10));
            else
                QCOMPARE(bool(answer.greedy[0]), item["greedy"].boolean());
        }
        QCOMPARE(result.find("acc")->value, reference["acc"].number());
        if (reference.has("acc_norm"))
            QCOMPARE(result.find("acc_norm")->value, reference["acc_norm"].number());
        if (reference.has("perplexity")) {
            const double expected = reference["perplexity"].number();
            QVERIFY(std::abs(result.find("perplexity")->value / expected - 1) < 1e-3);  // exp of a sum of several tokens: 2e-4 each
        }
        const double acc = result.find("acc")->value;
        QVERIFY(std::abs(result.find("acc")->standardError - std::sqrt(acc * (1 - acc) / 99)) < 1e-12);
    }

    void anyNumberOfThreadsGivesTheSameNumbers()
    {
        LQER_NEED_SHARED();
        const std::vector<TaskRequest> requests{{"arc_easy", {}}, {"lambada_openai", 2}};
        TasksOptions options;
        options.dataFolder = sharedFolder() + "/tasks";
        options.limit = 20;
        options.keepAnswers = true;
        std::vector<TasksReport> reports;
        for (const std::size_t threads : {1, 3}) {
            const Engine engine({.threads = threads});
            const auto model = engine.load(sharedFolder() + "/models/stories260k", engine.context());
            options.forward.group = threads == 1 ? 7 : 0;
            reports.push_back(*engine.evaluateTasks(*model, nullptr, nullptr, requests, options, engine.context()));
            reports.back().seconds = 0;
        }
        QVERIFY(reports[0] == reports[1]);
    }
};

QTEST_GUILESS_MAIN(EngineTasksTest)
#include "tst_engine_tasks.moc"
