// SPDX-License-Identifier: Apache-2.0
#include <QFile>
#include <QRegularExpression>
#include <QTemporaryDir>
#include <QTest>
#include <QXmlStreamReader>

#include "core/base/log.h"
#include "core/eval/format.h"
#include "core/eval/hardware_cost.h"
#include "core/export/report/csv.h"
#include "core/export/report/svg.h"
#include "tests/export/measured_export.h"
#include "tests/support/scratch.h"

using namespace lqer;
using namespace lqer::test;

namespace {

QByteArray contentOf(const std::string &path)
{
    QFile file(QString::fromStdString(path));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

// RFC 4180, as somebody else might read it: rows of fields.
QVector<QStringList> parsedCsv(const QByteArray &bytes)
{
    QVector<QStringList> rows;
    QStringList row;
    QByteArray field;
    bool quoted = false;
    for (qsizetype i = 0; i < bytes.size(); ++i) {
        const char c = bytes[i];
        if (quoted) {
            if (c != '"')
                field += c;
            else if (i + 1 < bytes.size() && bytes[i + 1] == '"')
                field += bytes[++i];
            else
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == ',' || c == '\r') {
            row << QString::fromUtf8(field);
            field.clear();
            if (c == '\r') {
                ++i;  // line feed
                rows << row;
                row.clear();
            }
        } else {
            field += c;
        }
    }
    return rows;
}

QString cell(const QVector<QStringList> &rows, int row, const QString &column)
{
    const qsizetype at = rows.front().indexOf(column);
    return at < 0 ? QString("no column ") + column : rows[row][at];
}

}  // namespace

class TestReportExport : public QObject
{
    Q_OBJECT

private slots:
    void initTestCase()
    {
        setLogSink([](LogLevel, const std::string &) {});
        m_folder = std::make_unique<QTemporaryDir>(scratchTemplate());
        m_sample = measuredExport(m_folder->path().toStdString());
        m_path = m_sample->write("report", "report");
        m_page = contentOf(m_path + "/report.html");
    }
    void cleanupTestCase()
    {
        m_sample.reset();
        m_folder.reset();
    }

    // Well-formed, so that no text of a file has become markup; complete in itself.
    void pageIsWellFormedAndNeedsNothingElse()
    {
        QXmlStreamReader reader(m_page);
        QStringList elements;
        while (!reader.atEnd()) {
            if (reader.readNext() != QXmlStreamReader::StartElement)
                continue;
            elements << reader.name().toString();
            for (const QXmlStreamAttribute &attribute : reader.attributes()) {
                const QString name = attribute.name().toString();
                QVERIFY2(!name.startsWith("on") && name != "src" && name != "href" && name != "xlink:href", qPrintable(name));
            }
        }
        QVERIFY2(!reader.hasError(), qPrintable(QString("%1 in line %2").arg(reader.errorString()).arg(reader.lineNumber())));
        for (const char *forbidden : {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use", "foreignObject"})
            QVERIFY2(!elements.contains(forbidden), forbidden);
        for (const char *reference : {"://", "url(", "@import", "javascript:"})
            QVERIFY2(!m_page.contains(reference), reference);
        QVERIFY(elements.count("svg") >= 6);
        QVERIFY(!m_page.contains(m_sample->place().c_str()));  // nor does it tell where somebody keeps their files
    }

    void hostileTextIsShownAsText()
    {
        QVERIFY(m_page.contains("&lt;script&gt;"));
        QVERIFY(!m_page.contains("\xE2\x80\xAE") && !m_page.contains('\x01'));
        QCOMPARE(markup("<a href='x'>&\"\x07"), std::string("&lt;a href=&#39;x&#39;&gt;&amp;&quot;\\u0007"));
    }

    void firstScreenSaysWhatWasMeasured()
    {
        const auto reports = m_sample->engine().reports(m_sample->project());
        const EvaluationReport &plain = *reports.front(), &main = *reports.back();
        const QByteArray head = m_page.left(m_page.indexOf("<h2>"));
        for (const double figure : {main.perplexity->perplexity, main.original->perplexity, plain.perplexity->perplexity})
            QVERIFY2(head.contains(formatPerplexity(figure).c_str()), formatPerplexity(figure).c_str());
        QVERIFY(head.contains("convention joined") || head.contains("convention tokens"));
        QVERIFY(head.contains(formatBits(main.footprint->stored.withCorrection).c_str()));
        QVERIFY(m_page.contains(">Singular values of the error</h2>"));
        for (const char *part : {"All runs of the project", "Error of every layer", "Ranks", "Hardware cost of a token", "Every layer", "Recipe",
                                 "Where it comes from", "How to read this page"})
            QVERIFY2(m_page.contains(QByteArray("<h2>") + part), part);
    }

    void everyLayerIsInTheTable()
    {
        for (const LinearSite &site : m_sample->sites())
            QVERIFY2(m_page.contains(("<td class=\"l\">" + site.name + "</td>").c_str()), site.name.c_str());
    }

    void layersCsvHoldsTheUnroundedNumbers()
    {
        const QVector<QStringList> rows = parsedCsv(contentOf(m_path + "/layers.csv"));
        const auto &sites = m_sample->sites();
        QCOMPARE(rows.size(), qsizetype(sites.size() + 1));
        const EvaluationReport report = *m_sample->engine().reports(m_sample->project()).back();
        for (int i = 1; i < rows.size(); ++i) {
            QCOMPARE(rows[i].size(), rows.front().size());
            const LinearSite &site = sites[static_cast<std::size_t>(i - 1)];
            QCOMPARE(cell(rows, i, "layer").toStdString(), site.name);
            QCOMPARE(cell(rows, i, "rank").toLongLong(), report.footprint->layers[static_cast<std::size_t>(i - 1)].rank);
            const LayerCost cost = layerCost(site, report.recipe->planFor(site), report.footprint->layers[static_cast<std::size_t>(i - 1)], 1);
            QVERIFY(cell(rows, i, "moved_by_a_token [bit]").toDouble() == cost.movedBits(1));
            QVERIFY(cell(rows, i, "multiply_accumulates [per token]").toDouble() == cost.macs());
            QCOMPARE(cell(rows, i, "relative_area").isEmpty(), !cost.area().has_value());
            const auto error = std::ranges::find(report.layers, site.name, &LayerError::layer);
            if (error == report.layers.end()) {
                QCOMPARE(cell(rows, i, "errors_are"), QString());
                continue;
            }
            QCOMPARE(cell(rows, i, "errors_are"), QString("measured"));
            QVERIFY(cell(rows, i, "weight_error_energy").toDouble() == error->weightError);
            QVERIFY(cell(rows, i, "corrected_output_error_energy [per token]").toDouble() == error->correctedOutputError);
            QVERIFY(cell(rows, i, "relative_output_error").toDouble() == error->relativeOutputError());
        }
    }

    void reportsCsvHoldsTheUnroundedNumbers()
    {
        const QVector<QStringList> rows = parsedCsv(contentOf(m_path + "/reports.csv"));
        const auto reports = m_sample->engine().reports(m_sample->project());
        QCOMPARE(rows.size(), qsizetype(reports.size() + 1));
        for (int i = 1; i < rows.size(); ++i) {
            const EvaluationReport &report = *reports[static_cast<std::size_t>(i - 1)];
            QCOMPARE(rows[i].size(), rows.front().size());
            QVERIFY(cell(rows, i, "perplexity").toDouble() == report.perplexity->perplexity);
            QVERIFY(cell(rows, i, "mean_nll [nat]").toDouble() == report.perplexity->meanNll);
            QVERIFY(cell(rows, i, "kl_divergence [nat]").toDouble() == report.divergence->kl.mean);
            QCOMPARE(cell(rows, i, "size [B]").toULongLong(), report.footprint->bytes);
            // A spreadsheet must not take it for a formula.
            QCOMPARE(cell(rows, i, "source"), "'" + QString::fromUtf8(hostileText));
            QCOMPARE(cell(rows, i, "this_recipe"), i + 1 == rows.size() ? QString("true") : QString("false"));
        }
    }

    void csvQuotesAsRfc4180Says()
    {
        CsvTable table({"a", "b [B]"});
        table.text("x,\"y\"\r\nz").number(0.1 + 0.2);
        table.endRow();
        table.text("-5").integer(-5);
        table.endRow();
        table.nothing().number(std::optional<double>());
        table.endRow();
        QCOMPARE(table.toString(), std::string("a,b [B]\r\n\"x,\"\"y\"\"\r\nz\",0.30000000000000004\r\n'-5,-5\r\n,\r\n"));
    }

    void axesHaveRoundTicksInsideTheirRange_data()
    {
        QTest::addColumn<bool>("log");
        QTest::addColumn<double>("low");
        QTest::addColumn<double>("high");
        QTest::addColumn<QString>("labels");
        QTest::newRow("small differences") << false << 2.2166 << 2.2257 << "2.218 2.220 2.222 2.224";
        QTest::newRow("percent") << false << 0.0 << 8.4 << "0 2 4 6 8";
        QTest::newRow("decades") << true << 0.00004 << 1.1 << "1e-04 0.001 0.01 0.1 1";
        QTest::newRow("two decades") << true << 0.05 << 1.1 << "0.05 0.1 0.2 0.5 1";
        QTest::newRow("less than a decade") << true << 4.1 << 4.9 << "4.2 4.4 4.6 4.8";
        QTest::newRow("large") << true << 30.0 << 20000.0 << "100 1000 10000";
    }
    void axesHaveRoundTicksInsideTheirRange()
    {
        QFETCH(bool, log);
        QFETCH(double, low);
        QFETCH(double, high);
        QFETCH(QString, labels);
        const Scale scale(log ? Scale::Kind::Log : Scale::Kind::Linear, low, high, 0, 100);
        const std::vector<double> ticks = scale.ticks(5);
        QStringList found;
        for (const std::string &label : scale.labels(ticks))
            found << QString::fromStdString(label);
        QCOMPARE(found.join(' '), labels);
        for (const double tick : ticks)
            QVERIFY(tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
        QCOMPARE(scale.at(low), 0.0);
        QCOMPARE(scale.at(high), 100.0);
    }

    void oneValueStillHasAnAxis()
    {
        for (const auto kind : {Scale::Kind::Linear, Scale::Kind::Log}) {
            const Scale scale(kind, 3, 3, 0, 100);
            QVERIFY(scale.at(3) > 10 && scale.at(3) < 90);
            QVERIFY(!scale.ticks(5).empty());
        }
    }

    // Nothing measured, nothing corrected, no statistics: the page says so and has no empty plot.
    void unmeasuredRecipeIsAPageToo()
    {
        QuantizationRecipe recipe;
        recipe.name = "new";
        recipe.defaults.weight = FormatSpec::parse("int4-g32");
        const QByteArray page = contentOf(writeRecipe(*m_sample, recipe, "report", "unmeasured") + "/report.html");
        QVERIFY(page.contains("has not been measured"));
        QVERIFY(!page.contains("Singular values of the error") && !page.contains("<h2>Ranks") && page.contains("<h2>Every layer"));
        QXmlStreamReader reader(page);
        while (!reader.atEnd())
            reader.readNext();
        QVERIFY2(!reader.hasError(), qPrintable(reader.errorString()));
    }

    // Last, as it changes the project.
    void estimatesAreDrawnApartAndSaidToBeSuch()
    {
        QVERIFY(!m_page.contains("estimated</span>") && !m_page.contains("curve after estimated\"/>"));
        for (int i = 1; const LinearSite &site : m_sample->sites()) {
            const QVector<QStringList> rows = parsedCsv(contentOf(m_path + "/layers.csv"));
            QCOMPARE(cell(rows, i, "noise_edge_is"), m_sample->plan(site).quantize && m_sample->plan(site).rank > 0 ? QString("computed") : QString());
            ++i;
        }
        markAsEstimated(*m_sample);
        const std::string path = m_sample->write("report", "estimated");
        const QByteArray page = contentOf(path + "/report.html");
        QVERIFY(page.contains("What is dotted is estimated") && page.contains("estimated</span>"));
        QVERIFY(page.contains("class=\"curve after\"/>") && page.contains("class=\"curve after estimated\"/>") && page.contains("class=\"curve before estimated\"/>"));
        QVERIFY(!page.contains("class=\"curve before\"/>"));
        const QVector<QStringList> rows = parsedCsv(contentOf(path + "/layers.csv"));
        for (int i = 1; const LinearSite &site : m_sample->sites()) {
            const QString mark = m_sample->plan(site).quantize && m_sample->plan(site).rank > 0 ? QStringLiteral("estimated") : QString();
            QCOMPARE(cell(rows, i, "singular_values_are"), mark);
            QCOMPARE(cell(rows, i, "noise_edge_is"), mark);
            ++i;
        }
    }

private:
    std::unique_ptr<QTemporaryDir> m_folder;
    std::unique_ptr<SampleExport> m_sample;
    std::string m_path;
    QByteArray m_page;
};

QTEST_GUILESS_MAIN(TestReportExport)
#include "tst_report_export.moc"
