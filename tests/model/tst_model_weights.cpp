// SPDX-License-Identifier: Apache-2.0
// Reading: what ModelWeights gives, through the model that owns it.
#include <QtTest>

#include <limits>

#include "core/model/transformer.h"
#include "tests/model/small_model.h"
#include "tests/support/shared_data.h"
#include "tests/support/stop_at_poll.h"

using namespace lqer;
using namespace lqer::test;

namespace {

constexpr std::int64_t vocabulary = 60'000;  // so that the head is read in several pieces

// An untied head of some megabytes; `change` puts into it what it wants.
Transformer withLargeHead(const QTemporaryDir &folder, const std::function<void(std::span<float>)> &change = {})
{
    SmallModel model = smallLlama({{"tie_word_embeddings", false}, {"vocab_size", vocabulary}});
    const std::int64_t features = model.tensors.at("model.norm.weight").elements();
    for (const char *name : {"lm_head.weight", "model.embed_tokens.weight"})
        model.tensors[name] = randomTensor(name, {vocabulary, features}, 1);
    Tensor &head = model.tensors["lm_head.weight"];
    if (change)
        change({reinterpret_cast<float *>(head.bytes().data()), static_cast<std::size_t>(head.elements())});
    return Transformer(openModel(model, folder.path().toStdString()));
}

}  // namespace

class TestModelWeights : public QObject {
    Q_OBJECT

private slots:
    void aTensorReadInPiecesIsWhole()
    {
        const QTemporaryDir folder;
        const Transformer model = withLargeHead(folder);
        const Matrix head = model.readHead();
        const Matrix expected = randomTensor("lm_head.weight", {vocabulary, head.cols()}, 1).toMatrix();
        QVERIFY(head == expected);
        ThreadPool three(3);
        QVERIFY(model.readHead({&three}) == expected);
    }

    // Of values that are not finite the first is named, and all are counted, whichever pieces they lie in.
    void valuesThatAreNotFiniteAreCountedOverAllPieces()
    {
        const QTemporaryDir folder;
        std::size_t place = 0, width = 0;
        const Transformer model = withLargeHead(folder, [&](std::span<float> values) {
            width = values.size() / static_cast<std::size_t>(vocabulary);
            place = (std::size_t(1) << 20) + 5;
            values[place] = std::numeric_limits<float>::quiet_NaN();
            values[values.size() - 1] = values[values.size() - 2] = std::numeric_limits<float>::infinity();
        });
        ErrorCode code{};
        const std::string message = errorOf([&] { model.readHead(); }, &code);
        const QString expected =
            QStringLiteral("NaN at index [%1, %2], the first of 3 values").arg(place / width).arg(place % width);
        QVERIFY2(message.find(expected.toStdString()) != std::string::npos, message.c_str());
        QVERIFY(code == ErrorCode::Numeric);
    }

    void aStopEndsReading()
    {
        const QTemporaryDir folder;
        const Transformer model = withLargeHead(folder);
        QVERIFY(pollsOf([&](const TaskContext &context) { model.readHead(context); }) >= 2);
    }
};

QTEST_GUILESS_MAIN(TestModelWeights)
#include "tst_model_weights.moc"
