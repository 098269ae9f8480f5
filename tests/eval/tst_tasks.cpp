// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cmath>
#include <filesystem>

#include "core/eval/downstream/evaluate_tasks.h"
#include "core/eval/downstream/python_random.h"
#include "tests/eval/scored_model.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

namespace {

namespace fs = std::filesystem;

class TaskFolder {
public:
    std::string path(const std::string &name = {}) const { return m_folder.filePath(QString::fromStdString(name)).toStdString(); }
    TaskFolder &write(const std::string &name, const std::string &content)
    {
        fs::create_directories(fs::path(path(name)).parent_path());
        QFile file(QString::fromStdString(path(name)));
        if (!file.open(QIODevice::WriteOnly) || file.write(content.data(), static_cast<qint64>(content.size())) < 0)
            qFatal("cannot write %s", name.c_str());
        return *this;
    }

private:
    QTemporaryDir m_folder;
};

// What a model is shown of a task, each input once, in any order; '|' in front of nothing: the last character of a request is not part of it.
std::vector<std::string> inputs(const std::string &folder, const TaskRequest &request, const TaskRules &rules = {}, std::int64_t maxLength = 4096)
{
    const ByteTokenizer tokenizer;
    const PreparedTasks prepared(std::vector<TaskRequest>{request}, folder, 0, rules, tokenizer, maxLength, {});
    std::vector<std::string> texts;
    for (const TokenWindow &window : prepared.windows().windows)
        texts.push_back(tokenizer.decode(window.ids, false));
    return texts;
}

TaskItem itemOf(const char *task, const char *row)
{
    const Json json = parseJson(row, "rows.jsonl, line 7");
    return taskDefinition(task).item(JsonReader(json, "rows.jsonl, line 7"));
}

// A question of ARC with two choices.
std::string question(int number)
{
    return "{\"id\":\"" + std::to_string(number) + "\",\"question\":\"q" + std::to_string(number) + "\",\"choices\":{\"text\":[\"yes\",\"no\"],\"label\":[\"A\",\"B\"]},\"answerKey\":\"B\"}\n";
}

std::string questions(int from, int count)
{
    std::string text;
    for (int i = from; i < from + count; ++i)
        text += question(i);
    return text;
}

}  // namespace

class TasksTest : public QObject {
    Q_OBJECT

private slots:
    // Context, the continuations and the right one, as lm-eval 0.4.5 makes them of these rows; of HellaSwag and COPA with its own functions.
    void promptsAreThoseOfLmEval_data()
    {
        QTest::addColumn<QString>("task");
        QTest::addColumn<QString>("row");
        QTest::addColumn<QString>("context");
        QTest::addColumn<QStringList>("continuations");
        QTest::addColumn<int>("gold");
        const auto row = [](const char *name, const char *task, const char *json, const char *context, const QStringList &continuations, int gold) {
            QTest::newRow(name) << task << json << context << continuations << gold;
        };
        row("ARC", "arc_easy", R"({"id":"M1","question":"Why?","choices":{"text":["a","b","c"],"label":["1","2","3"]},"answerKey":"3"})", "Question: Why?\nAnswer:",
            {" a", " b", " c"}, 2);
        row("ARC, plain", "arc_challenge", R"({"question":"Why?","choices":["a","b"],"label":1})", "Question: Why?\nAnswer:", {" a", " b"}, 1);
        row("OpenBookQA", "openbookqa", R"({"question_stem":"Frogs eat","choices":{"text":["flies","tea","mud","air"],"label":["A","B","C","D"]},"answerKey":" A"})",
            "Frogs eat", {" flies", " tea", " mud", " air"}, 0);
        row("PIQA", "piqa", R"({"goal":"Open a jar.","sol1":"Twist.","sol2":"Wait.","label":0})", "Question: Open a jar.\nAnswer:", {" Twist.", " Wait."}, 0);
        row("BoolQ", "boolq", R"({"question":"is it so","passage":"It is.","idx":3,"label":1})", "It is.\nQuestion: is it so?\nAnswer:", {" no", " yes"}, 1);
        row("BoolQ, google's fields", "boolq", R"({"question":"is it so","passage":"It is.","answer":false})", "It is.\nQuestion: is it so?\nAnswer:", {" no", " yes"}, 0);
        row("COPA", "copa", R"({"premise":"My body cast a shadow. ","choice1":"The sun rose.","choice2":"Élan.","question":"cause","label":0})",
            "My body cast a shadow because", {"  the sun rose.", "  élan."}, 0);
        row("HellaSwag", "hellaswag",
            R"({"ctx_a":"[header] How to  make   tea [title] Boil water [step] Use a kettle.","ctx_b":"then THE man É","activity_label":"Food and Entertaining",)"
            R"("endings":["  pours [substeps] it  out. ","[title]drinks    it."],"label":"1"})",
            "Food and Entertaining: How to make  tea. Boil water Use a kettle. Then the man é", {" pours it out.", " drinks  it."}, 1);
        row("CommonsenseQA", "commonsense_qa", R"({"id":"1","question":" Where? ","choices":{"label":["A","B","C","D","E"],"text":["a","b","c","d","e"]},"answerKey":"D"})",
            "Question: Where?\nA. a\nB. b\nC. c\nD. d\nE. e\nAnswer:", {" A", " B", " C", " D", " E"}, 3);
        row("MMLU", "mmlu", R"({"question":"Which?\n","subject":"anatomy","choices":["w","x","y","z"],"answer":2})", "Which?\nA. w\nB. x\nC. y\nD. z\nAnswer:",
            {" A", " B", " C", " D"}, 2);
        row("LAMBADA", "lambada_openai", R"({"text":"He said it was a 'sign'"})", "He said it was a", {" 'sign'"}, 0);
        row("LAMBADA, plain", "lambada_openai", R"({"context":"He saw","target":" her"})", "He saw", {" her"}, 0);
    }
    void promptsAreThoseOfLmEval()
    {
        QFETCH(QString, task);
        QFETCH(QString, row);
        QFETCH(QString, context);
        QFETCH(QStringList, continuations);
        QFETCH(int, gold);
        const TaskItem item = itemOf(task.toLatin1().constData(), row.toUtf8().constData());
        QStringList found;
        for (const TaskPair &pair : item.pairs) {
            QCOMPARE(QString::fromStdString(pair.context), context);
            found.append(QString::fromStdString(pair.continuation));
        }
        QCOMPARE(found, continuations);
        QCOMPARE(static_cast<int>(item.gold), gold);
        QCOMPARE(QString::fromStdString(item.shot), context + (task == "lambada_openai" ? " " : "") + continuations[gold]);
    }

    void winograndeScoresWhatFollowsTheBlank()
    {
        const TaskItem item = itemOf("winogrande", R"({"sentence":"Ann told Bo that _ had won. ","option1":"Ann","option2":"Bo","answer":"2"})");
        QCOMPARE(item.pairs[0].context, std::string("Ann told Bo that Ann"));
        QCOMPARE(item.pairs[1].context, std::string("Ann told Bo that Bo"));
        QCOMPARE(item.pairs[0].continuation, std::string(" had won."));
        QCOMPARE(item.pairs[1].continuation, std::string(" had won."));
        QCOMPARE(item.gold, std::size_t{1});
        QCOMPARE(item.shot, std::string("Ann told Bo that Bo had won."));
    }

    // Expected: wikitext_detokenizer of lm-eval 0.4.5 and its counts, on this page.
    void pagesAreDetokenizedAsLmEvalDoes()
    {
        const std::string page = "\n = Robert <unk> = \n\n He said : \" Hello , world ! \" and ( as usual ) left ; it 's 3 @,@ 000 @.@ 5 m @-@ long . The boys ' own [ <unk> ] { x } 12 "
                                 "\u00b0 N \u00b0 C \n = = Career = = \n = = = Part = = = \n In N days ' he ' said s 'x? Why ? ";
        const TaskItem item = itemOf("wikitext", Json::object().set("page", page).dump().c_str());
        QCOMPARE(QString::fromStdString(item.pairs[0].continuation), QString::fromUtf8("\n= Robert <unk> =\n\nHe said: \"Hello, world!\" and (as usual) left; it's 3,000.5 m-long. The boys' own [<unk>] {x} "
                                                         "12\u00b0N\u00b0C\n== Career ==\n=== Part ===\nIn 1 days'he' said s'x? Why? "));
        QCOMPARE(item.words, std::int64_t{71});
        QCOMPARE(item.bytes, std::int64_t{227});
    }

    void badRowsNameFileLineAndField_data()
    {
        QTest::addColumn<QString>("task");
        QTest::addColumn<QString>("row");
        QTest::addColumn<QString>("message");
        const auto row = [](const char *name, const char *task, const char *json, const char *message) { QTest::newRow(name) << task << json << message; };
        row("missing", "arc_easy", R"({"question":"q","choices":{"text":["a","b"],"label":["A","B"]}})", "lacks 'answerKey'");
        row("another type", "piqa", R"({"goal":5,"sol1":"a","sol2":"b","label":0})", "key 'goal': must be a string");
        row("label too large", "piqa", R"({"goal":"g","sol1":"a","sol2":"b","label":2})", "key 'label'");
        row("test split without labels", "piqa", R"({"goal":"g","sol1":"a","sol2":"b","label":-1})", "key 'label'");
        row("hidden answer", "winogrande", R"({"sentence":"a _ b","option1":"x","option2":"y","answer":""})", "key 'answer': must be '1' or '2'");
        row("no blank", "winogrande", R"({"sentence":"ab","option1":"x","option2":"y","answer":"1"})", "key 'sentence': has no blank");
        row("unknown key", "openbookqa", R"({"question_stem":"q","choices":{"text":["a","b"],"label":["A","B"]},"answerKey":"C"})", "key 'answerKey': must be one of the labels A, B, found 'C'");
        row("labels and texts", "arc_easy", R"({"question":"q","choices":{"text":["a","b"],"label":["A"]},"answerKey":"A"})", "key 'choices.label'");
        row("one choice", "arc_easy", R"({"question":"q","choices":["a"],"label":0})", "key 'choices': must hold at least 2");
        row("four for MMLU", "mmlu", R"({"question":"q","choices":["a","b"],"answer":0})", "key 'choices': must hold 4 choices, found 2");
        row("cause", "copa", R"({"premise":"p","choice1":"a","choice2":"b","question":"why","label":0})", "key 'question': must be 'cause' or 'effect', found 'why'");
        row("label as text", "hellaswag", R"({"ctx_a":"a","ctx_b":"b","activity_label":"l","endings":["x","y"],"label":""})", "key 'label'");
    }
    void badRowsNameFileLineAndField()
    {
        QFETCH(QString, task);
        QFETCH(QString, row);
        QFETCH(QString, message);
        const QString what = QString::fromStdString(errorOf([&] { itemOf(task.toLatin1().constData(), row.toUtf8().constData()); }));
        QVERIFY2(what.startsWith("rows.jsonl, line 7") && what.contains(message), qPrintable(what));
    }

    // Computed by Python 3's random.Random(1234).sample(range(size), count), one after the other.
    void samplesAreThoseOfPython()
    {
        struct Draw {
            std::size_t size, count;
            std::vector<std::size_t> expected;
        };
        const std::vector<Draw> draws = {
            {5, 2, {3, 0}},
            {5, 5, {0, 4, 2, 3, 1}},
            {22, 5, {3, 11, 7, 0, 20}},
            {85, 6, {79, 61, 78, 59, 19, 11}},
            {86, 6, {23, 14, 1, 64, 62, 31}},
            {1000, 3, {66, 683, 554}},
            {40428, 6, {30533, 4493, 39417, 5828, 33753, 37945}},
            {2251, 25, {188, 1104, 258, 1238, 1970, 1455, 1091, 1020, 819, 1857, 2171, 79, 2081, 289, 23, 1366, 588, 1936, 1545, 684, 221, 312, 2033, 671, 308}},
            {3, 1, {2}},
            {9741, 7, {3524, 2363, 444, 5672, 1816, 8678, 2313}},
        };
        PythonRandom random(1234);
        for (const Draw &draw : draws)
            QCOMPARE(random.sample(draw.size, draw.count), draw.expected);
    }

    // ARC's examples come from train, item by item: Random(1234).sample(range(5), 2) gives 3, 0, then 0, 4 (as above: 0, 4, 2, 3, 1 for five).
    void examplesStandInFrontInTheOrderDrawn()
    {
        TaskFolder folder;
        folder.write("arc_easy.test.jsonl", questions(10, 1)).write("ARC-Easy/train.jsonl", questions(0, 5));
        const std::vector<std::string> texts = inputs(folder.path(), {"arc_easy", 2});
        QCOMPARE(texts.size(), std::size_t{2});
        QCOMPARE(texts[0], std::string("Question: q3\nAnswer: no\n\nQuestion: q0\nAnswer: no\n\nQuestion: q10\nAnswer: ye"));
        QCOMPARE(texts[1], std::string("Question: q3\nAnswer: no\n\nQuestion: q0\nAnswer: no\n\nQuestion: q10\nAnswer: n"));
    }

    // Tasks without a test split draw one more than they show, and where the examples' split is named they do not: the second item tells.
    void anExtraExampleIsDrawnWhereLmEvalDrawsOne()
    {
        const auto row = [](int i) { return "{\"goal\":\"g" + std::to_string(i) + "\",\"sol1\":\"a\",\"sol2\":\"b\",\"label\":0}\n"; };
        TaskFolder folder;
        std::string train;
        for (int i = 0; i < 5; ++i)
            train += row(i);
        folder.write("piqa.validation.jsonl", row(8) + row(9)).write("piqa.train.jsonl", train);
        PythonRandom extra(1234), same(1234);
        extra.sample(5, 2);
        same.sample(5, 1);
        const auto expected = [](std::size_t shown) { return "Question: g" + std::to_string(shown) + "\nAnswer: a\n\nQuestion: g9\nAnswer:"; };
        const auto holds = [&](const TaskRequest &request, const std::string &front) {
            const std::vector<std::string> texts = inputs(folder.path(), request);
            return std::any_of(texts.begin(), texts.end(), [&](const std::string &text) { return text.starts_with(front); });
        };
        QVERIFY(holds({"piqa", 1}, expected(extra.sample(5, 2)[0])));
        QVERIFY(holds({"piqa", 1, {}, "train"}, expected(same.sample(5, 1)[0])));
    }

    void anItemIsNoExampleOfItself()
    {
        TaskFolder folder;
        folder.write("arc_easy.test.jsonl", questions(0, 2));
        for (const std::string &text : inputs(folder.path(), {"arc_easy", 1, {}, "test"})) {
            QVERIFY2(text.starts_with("Question: q0\nAnswer: no\n\nQuestion: q1") || text.starts_with("Question: q1\nAnswer: no\n\nQuestion: q0"), text.c_str());
        }
    }

    void mmluTakesTheFirstExamplesOfTheSubject()
    {
        const auto row = [](const char *subject, int i) {
            return "{\"question\":\"" + std::to_string(i) + "\",\"subject\":\"" + subject + "\",\"choices\":[\"w\",\"x\",\"y\",\"z\"],\"answer\":0}\n";
        };
        TaskFolder folder;
        folder.write("mmlu/test.jsonl", row("world_religions", 1)).write("mmlu/dev.jsonl", row("anatomy", 2) + row("world_religions", 3) + row("world_religions", 4));
        const std::vector<std::string> expected{"The following are multiple choice questions (with answers) about world religions.\n\n3\nA. w\nB. x\nC. y\nD. z\nAnswer: A\n\n"
                                                "1\nA. w\nB. x\nC. y\nD. z\nAnswer: "};
        QCOMPARE(inputs(folder.path(), {"mmlu", 1}), expected);  // one input for the four letters
        QCOMPARE(inputs(folder.path(), {"mmlu_world_religions", 1}), expected);
        const std::string message = errorOf([&] { inputs(folder.path(), {"mmlu_anatomy", 0}); });
        QVERIFY2(message.find("no rows of subject 'anatomy'") != std::string::npos, message.c_str());

        TaskFolder split;
        split.write("mmlu/anatomy/test.jsonl", row("", 1)).write("mmlu/world_religions/test.jsonl", row("", 2));
        QCOMPARE(inputs(split.path(), {"mmlu", 0}).size(), std::size_t{2});
        QCOMPARE(inputs(split.path(), {"mmlu_anatomy", 0})[0].substr(0, 70), std::string("The following are multiple choice questions (with answers) about anatomy.").substr(0, 70));
    }

    void tooFewExamplesAreAnError()
    {
        TaskFolder folder;
        folder.write("arc_easy.jsonl", questions(0, 1)).write("arc_easy.train.jsonl", questions(0, 2));
        ErrorCode code{};
        const std::string message = errorOf([&] { inputs(folder.path(), {"arc_easy", 3}); }, &code);
        QVERIFY2(code == ErrorCode::Argument && message.find("arc_easy.train.jsonl: 3 examples are to be drawn for task 'arc_easy', found 2 rows") != std::string::npos, message.c_str());
    }

    void filesAreFoundAndErrorsSayWhatWasLookedFor()
    {
        TaskFolder folder;
        folder.write("arc_easy_open.jsonl", questions(0, 1));
        QCOMPARE(inputs(folder.path(), {"arc_easy", 0}).size(), std::size_t{2});
        QCOMPARE(inputs({}, {"arc_challenge", 0, folder.path("arc_easy_open.jsonl")}).size(), std::size_t{2});
        ErrorCode code{};
        const std::string missing = errorOf([&] { inputs(folder.path(), {"piqa", 0}); }, &code);
        QVERIFY2(code == ErrorCode::NotFound && missing.find("piqa.validation.jsonl") != std::string::npos, missing.c_str());
        const std::string train = errorOf([&] { inputs(folder.path(), {"arc_easy", 1}); }, &code);
        QVERIFY2(code == ErrorCode::NotFound && train.find("task 'arc_easy', train split") != std::string::npos, train.c_str());
        const std::string unknown = errorOf([&] { inputs(folder.path(), {"arc_eazy", 0}); }, &code);
        QVERIFY2(code == ErrorCode::Argument && unknown.find("did you mean 'arc_easy'?") != std::string::npos, unknown.c_str());
        folder.write("piqa.jsonl", "{\"goal\":\"g\"}\n");
        const std::string field = errorOf([&] { inputs(folder.path(), {"piqa", 0}); }, &code);
        QVERIFY2(field.find("piqa.jsonl, line 1: lacks 'sol1'") != std::string::npos, field.c_str());
    }

    void encodingFollowsLmEval()
    {
        const ByteTokenizer tokenizer;
        const auto encoded = [&](const TaskPair &pair, const TaskRules &rules = {}, std::int64_t most = 100) {
            const EncodedRequest request = encodeRequest(tokenizer, pair, rules, most, "f, line 1");
            std::string text = tokenizer.decode(request.ids, false);
            return text.insert(text.size() - static_cast<std::size_t>(request.scored), "|");
        };
        QCOMPARE(encoded({"ab", " c"}), std::string("ab| c"));
        QCOMPARE(encoded({"ab \n", "c"}), std::string("ab| \nc"));        // white space moves to the continuation
        QCOMPARE(encoded({"ab", " c"}, {.bos = true}), std::string("^ab| c"));
        QCOMPARE(encoded({"", "c"}), std::string("^|c"));                  // something has to stand in front
        QCOMPARE(encoded({"abcdef", "gh"}, {}, 4), std::string("def|gh")); // four are run, one is only predicted
        QVERIFY(errorOf([&] { encoded({"ab", ""}); }).find("f, line 1: '' adds no token") == 0);
        QVERIFY(errorOf([&] { encoded({"ab", "cdefg"}, {}, 4); }).find("the answer has 5 tokens, the model takes 4") != std::string::npos);
    }

    // Against the plain way: every request a window of its own through logProbabilities().
    void sharedInputsScoreLikeSeparateOnes()
    {
        const ScoredModel small;
        const std::vector<TokenWindow> windows = randomWindows(1, 9).windows;
        std::vector<EncodedRequest> requests;
        for (const TokenId last : {3, 17, 42})
            for (const std::int64_t scored : {1, 4}) {
                EncodedRequest request{windows[0].ids, scored};
                request.ids.back() = last;
                requests.push_back(request);
            }
        requests.push_back({{5, 6, 7}, 2});
        const ScoredRequests batch(requests);
        QCOMPARE(batch.windows().windows.size(), std::size_t{2});
        ForwardHooks unchanged;
        const std::vector<RequestScore> scores = batch.score(small.model(), unchanged, {}, {});
        for (std::size_t r = 0; r < requests.size(); ++r) {
            const std::vector<TokenWindow> alone{{requests[r].ids, static_cast<std::int64_t>(requests[r].ids.size()) - requests[r].scored}};
            double sum = 0;
            const std::vector<std::vector<float>> values = small.model().logProbabilities(alone, unchanged, {}, {});
            for (const float value : values[0])
                sum += static_cast<double>(value);
            QVERIFY2(std::abs(scores[r].sum - sum) < 1e-5, qPrintable(QString("%1: %2 and %3").arg(r).arg(scores[r].sum).arg(sum)));
        }
        int greedy = 0;  // of the 61 ids, exactly one is the most likely
        std::vector<EncodedRequest> all;
        for (TokenId last = 0; last < ScoredModel::vocabulary; ++last)
            all.push_back({{5, 6, last}, 1});
        for (const RequestScore &score : ScoredRequests(all).score(small.model(), unchanged, {}, {}))
            greedy += score.greedy;
        QCOMPARE(greedy, 1);
    }

    void aStopEndsTheWork()
    {
        const ScoredModel small;
        std::stop_source stop;
        stop.request_stop();
        const ScoredRequests batch({{{1, 2, 3}, 1}});
        ForwardHooks unchanged;
        QVERIFY_EXCEPTION_THROWN(batch.score(small.model(), unchanged, {}, {.stop = stop.get_token()}), Cancelled);
    }

    void reportsReadWhatTheyWrote()
    {
        TasksReport report;
        report.rules = {.bos = true, .boundary = Boundary::CommonPrefix};
        report.limit = 7;
        report.requests = 5;
        report.seconds = 0.5;
        TaskResult subject{"mmlu_anatomy", 5, 3, {}, {}, {}, {{"acc", 1.0 / 3, 0.1}}, {}, {}};
        report.tasks = {{"mmlu", 5, 3, "/d/mmlu", "test", "/d/mmlu/dev.jsonl", {{"acc", 1.0 / 3, 0.1}}, {subject}, {}},
                        {"lambada_openai", 0, 2, "l", "test", "", {{"acc", 0, 0}, {"perplexity", std::numeric_limits<double>::infinity(), 3}}, {}, {}}};
        const Json json = parseJson(report.toJson().dump(), "r");
        QVERIFY(TasksReport::fromJson(JsonReader(json, "r")) == report);
        Json broken = report.toJson();
        broken.set("boundary", "else");
        QVERIFY(errorOf([&] { TasksReport::fromJson(JsonReader(broken, "r")); }).find("key 'boundary'") != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TasksTest)
#include "tst_tasks.moc"
