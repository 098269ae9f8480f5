// SPDX-License-Identifier: Apache-2.0
#include <QtTest>
#include <QTemporaryDir>

#include <cmath>
#include <fstream>

#include "core/base/error.h"
#include "core/import/imatrix.h"
#include "core/recon/scaling.h"
#include "tests/io/gguf_bytes.h"
#include "tests/support/random_llama.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_data.h"

using namespace lqer;
using namespace lqer::test;

// Files as llama.cpp's imatrix writes them, composed byte by byte.
class TestImatrix : public QObject {
    Q_OBJECT
private:
    struct Entry {
        std::string name;
        std::vector<float> sums;
        float tokens = 96;
    };

    std::unique_ptr<QTemporaryDir> m_place;
    std::unique_ptr<Transformer> m_model;
    std::string at(const char *name) const { return m_place->filePath(name).toStdString(); }

    static std::string bytesOf(std::span<const float> values)
    {
        return {reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float)};
    }
    std::string save(const std::string &bytes) const
    {
        std::ofstream(at("imatrix"), std::ios::binary) << bytes;
        return at("imatrix");
    }

    // One entry per weight, as llama.cpp keeps them: q, k and v hold the same numbers.
    static std::vector<Entry> entries()
    {
        std::vector<Entry> all;
        for (int layer = 0; layer < 3; ++layer)
            for (const char *weight : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
                Entry entry{"blk." + std::to_string(layer) + "." + weight + ".weight", {}};
                const bool down = std::string_view(weight) == "ffn_down";
                const int input = down ? 3 : weight[0] == 'f' ? 2 : std::string_view(weight) == "attn_output" ? 1 : 0;
                for (int i = 0; i < (down ? 80 : 48); ++i)
                    entry.sums.push_back(static_cast<float>(1 + i + 100 * input + 1000 * layer) / 8.0F);
                all.push_back(std::move(entry));
            }
        return all;
    }

    static std::string gguf(const std::vector<Entry> &entries, std::string_view type = "imatrix", std::int32_t chunks = 3)
    {
        const std::vector<std::string> keys = {
            ggufKey("general.type", 8, ggufText(type)),
            ggufArrayKey("imatrix.datasets", 8, 1, ggufText("wiki.train.raw")),
            ggufKey("imatrix.chunk_count", 5, littleEndian32(static_cast<std::uint32_t>(chunks))),
            ggufKey("imatrix.chunk_size", 4, littleEndian32(32)),
        };
        std::vector<std::string> tensors;
        std::string data;
        const auto add = [&](const std::string &name, std::span<const float> values) {
            tensors.push_back(ggufTensor(name, {values.size(), 1}, 0, data.size()));
            data += bytesOf(values);
            data.resize((data.size() + 31) / 32 * 32, '\0');
        };
        for (const Entry &entry : entries) {
            add(entry.name + ".in_sum2", entry.sums);
            add(entry.name + ".counts", {&entry.tokens, 1});
        }
        return ggufFile(keys, tensors, data);
    }

    // The old form keeps mean * calls.
    static std::string oldForm(const std::vector<Entry> &entries, std::uint32_t calls = 3)
    {
        std::string bytes = littleEndian32(static_cast<std::uint32_t>(entries.size()));
        for (const Entry &entry : entries) {
            std::vector<float> values;
            for (const float sum : entry.sums)
                values.push_back(sum / entry.tokens * static_cast<float>(calls));
            bytes += littleEndian32(static_cast<std::uint32_t>(entry.name.size())) + entry.name + littleEndian32(calls)
                + littleEndian32(static_cast<std::uint32_t>(values.size())) + bytesOf(values);
        }
        const std::string text = "wiki.train.raw";
        return bytes + littleEndian32(calls) + littleEndian32(static_cast<std::uint32_t>(text.size())) + text;
    }

private slots:
    void init()
    {
        m_place = std::make_unique<QTemporaryDir>(scratchTemplate());
        writeRandomLlama(at("model"), {});
        m_model = std::make_unique<Transformer>(std::make_shared<Checkpoint>(at("model")));
    }

    void bothFormsGiveTheMeanSquares_data()
    {
        QTest::addColumn<bool>("old");
        QTest::newRow("GGUF") << false;
        QTest::newRow(".dat") << true;
    }
    void bothFormsGiveTheMeanSquares()
    {
        QFETCH(bool, old);
        const CalibrationStats stats = readImatrix(save(old ? oldForm(entries()) : gguf(entries())), *m_model, "fingerprint");
        QCOMPARE(stats.data, std::string("imatrix (imatrix of wiki.train.raw)"));
        QCOMPARE(stats.model, std::string("fingerprint"));
        QCOMPARE(stats.windows, std::int64_t{3});
        QVERIFY(!stats.options.autocorrelation);
        QCOMPARE(stats.sites.size(), std::size_t{12});
        int position = 0;
        for (const ActivationSite &site : m_model->activationSites()) {
            const SiteStats &known = stats.sites.at(site.name);
            QVERIFY(!known.hasMagnitudes() && !known.hasAutocorrelation() && known.maxAbs.size() == 0);
            QCOMPARE(known.tokens, std::int64_t{old ? 3 : 96});
            QCOMPARE(known.features(), site.features);
            for (Index i = 0; i < site.features; ++i) {
                const double mean = (1 + static_cast<double>(i) + 100 * (position % 4) + 1000 * static_cast<double>(site.layer)) / 8 / 96;
                QVERIFY2(std::abs(std::pow(known.diagonalScale()[i], 2) / mean - 1) < 1e-6, site.name.c_str());
            }
            ++position;
        }
    }

    void keysFollowTheFile()
    {
        const std::string one = readImatrix(save(gguf(entries())), *m_model, "f").key();
        std::vector<Entry> other = entries();
        other[0].sums[0] += 1;
        QVERIFY(readImatrix(save(gguf(other)), *m_model, "f").key() != one);
    }

    void scalingsThatNeedMoreSayWhat()
    {
        const CalibrationStats stats = readImatrix(save(gguf(entries())), *m_model, "f");
        const auto site = std::make_shared<SiteStats>(stats.sites.begin()->second);
        QVERIFY(Scaling(ScalingKind::Diagonal, site, site->features()).diagonal().size() == site->features());
        QVERIFY(errorOf([&] { Scaling(ScalingKind::MeanAbs, site, site->features()); }).find("mean squares only") != std::string::npos);
        QVERIFY(errorOf([&] { Scaling(ScalingKind::Exact, site, site->features()); }).find("autocorrelation") != std::string::npos);
    }

    void whatDoesNotFitIsNamed()
    {
        const auto refused = [&](const std::string &bytes, std::initializer_list<const char *> names) {
            const std::string message = errorOf([&] { readImatrix(save(bytes), *m_model, "f"); });
            QVERIFY(!message.empty());
            for (const char *name : names)
                QVERIFY2(message.find(name) != std::string::npos, message.c_str());
        };
        std::vector<Entry> faulty = entries();
        faulty.erase(faulty.begin() + 3);
        refused(gguf(faulty), {"1 of the model's 12 inputs", "model.layers.0.self_attn.o_proj"});
        refused(oldForm(faulty), {"1 of the model's 12 inputs", "model.layers.0.self_attn.o_proj"});
        faulty = entries();
        faulty[3].sums.resize(40);
        refused(gguf(faulty), {"blk.0.attn_output.weight", "40", "48"});
        faulty = entries();
        faulty[0].sums[7] = std::nanf("");
        refused(gguf(faulty), {"blk.0.attn_q.weight", "channel 7"});
        refused(oldForm(faulty), {"blk.0.attn_q.weight", "channel 7"});
        refused(gguf(entries(), "model"), {"general.type", "model", "imatrix"});
        refused(gguf(entries(), "imatrix", -3), {"imatrix.chunk_count", "-3"});  // a project with it could not be opened again
        const std::string whole = oldForm(entries());
        for (const std::size_t length : {std::size_t{2}, std::size_t{9}, std::size_t{40}, whole.size() / 2, whole.size() - 3})
            refused(whole.substr(0, length), {"byte"});
        refused(littleEndian32(0x7FFFFFFF) + std::string(100, '\1'), {"byte", "entries"});
        // A length that memory could not hold is refused before anything is allocated.
        refused(littleEndian32(1) + littleEndian32(1) + "x" + littleEndian32(1) + littleEndian32(0x7FFFFFFF) + "abcd", {"byte", "announced"});
    }
};

QTEST_GUILESS_MAIN(TestImatrix)
#include "tst_imatrix.moc"
