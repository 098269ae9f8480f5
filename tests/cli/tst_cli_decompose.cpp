// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <cmath>

#include "tests/cli/cli_process.h"
#include "tests/support/random_llama.h"

using namespace lqer;
using namespace lqer::test;

// How much of the spectrum, on layers that are large enough for the choice to matter.
class TestCliDecompose : public QObject {
    Q_OBJECT
private slots:
    void initTestCase()
    {
        RandomLlama shape;
        shape.layers = 1;
        shape.hidden = 528;
        shape.intermediate = 544;
        shape.heads = shape.kvHeads = 4;
        writeRandomLlama(m_folder.filePath(QStringLiteral("wide")).toStdString(), shape);
    }

    void moreOfTheSpectrumIsComputedWhereItIsAskedFor()
    {
        // Without a choice: estimated, and once more nothing is left to do.
        QCOMPARE(spectraOf(decompose({}), 7, 0), QStringLiteral("estimated"));
        QCOMPARE(spectraOf(decompose({}), 0, 7), QStringLiteral("estimated"));
        QCOMPARE(spectraOf(decompose({"--leading-only"}), 0, 7), QStringLiteral("estimated"));
        m_maxRank = QStringLiteral("8");
        const Outcome whole = decompose({"--spectrum", "whole"});
        QCOMPARE(spectraOf(whole, 7, 0), QStringLiteral("whole"));
        const Json result = whole.event("result");
        for (const Json &layer : result.find("layers")->asArray())
            QCOMPARE(layer.find("max_rank")->asInteger(), 16);  // none of what there was is lost
        QCOMPARE(spectraOf(decompose({"--spectrum", "estimated"}), 0, 7), QStringLiteral("whole"));
    }

    void leadingValuesAloneAreKeptUntilMoreIsAskedFor()
    {
        m_project = QStringLiteral("leading.lqer");
        const Outcome leading = decompose({"--leading-only"});
        QCOMPARE(spectraOf(leading, 7, 0), QStringLiteral("leading"));
        QCOMPARE(spectraOf(decompose({}), 0, 7), QStringLiteral("leading"));
        const Outcome estimated = decompose({"--spectrum", "estimated"});
        QCOMPARE(spectraOf(estimated, 7, 0), QStringLiteral("estimated"));
        // What the factors take is the same; the plain error's share in them is known under the identity anyway.
        const Json before = leading.event("result"), after = estimated.event("result");
        for (std::size_t i = 0; i < 7; ++i) {
            const JsonReader one(before.find("layers")->asArray().at(i), "before"), other(after.find("layers")->asArray().at(i), "after");
            QCOMPARE(one["share_shaped"].number(), other["share_shaped"].number());
            QCOMPARE(one["share_unshaped"].number(), other["share_unshaped"].number());
        }
        QVERIFY(runProgram(m_folder.path(), arguments({})).out.contains("Of 7 of 7 layers the singular values behind the factors' are estimated"));
    }

    void impossibleChoicesAreRefused()
    {
        const Outcome unknown = decompose({"--spectrum", "half"});
        QCOMPARE(unknown.status, 2);
        QVERIFY2(unknown.err.contains("unknown spectrum 'half', known are: whole, estimated, leading"), unknown.err.constData());
        QVERIFY(decompose({"--spectrum", "whole", "--leading-only"}).status != 0);
    }

private:
    QStringList arguments(const QStringList &more) const
    {
        return QStringList{"decompose", "wide", "--project", m_project, "--recipe", "qera-approx-mxint4", "--scaling", "identity", "--rank", "8", "--max-rank", m_maxRank} + more;
    }
    Outcome decompose(const QStringList &more) { return runProgram(m_folder.path(), arguments(more) + QStringList{"--json"}); }
    // The spectrum that all layers have in common.
    static QString spectraOf(const Outcome &outcome, int computed, int reused)
    {
        if (outcome.status != 0)
            return QString::fromUtf8(outcome.err);
        const Json result = outcome.event("result");
        QStringList found;
        for (const Json &layer : result.find("layers")->asArray())
            found << QString::fromStdString(layer.find("spectrum")->asString());
        found.removeDuplicates();
        if (result.find("computed")->asInteger() != computed || result.find("reused")->asInteger() != reused)
            found << QStringLiteral("%1 computed, %2 reused").arg(result.find("computed")->asInteger()).arg(result.find("reused")->asInteger());
        return found.join(QStringLiteral(", "));
    }

    QTemporaryDir m_folder;
    QString m_project = QStringLiteral("p.lqer"), m_maxRank = QStringLiteral("16");
};

QTEST_GUILESS_MAIN(TestCliDecompose)
#include "tst_cli_decompose.moc"
