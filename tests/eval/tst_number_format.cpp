// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <QtTest>

#include "core/eval/format.h"

using namespace lqer;

class TestNumberFormat : public QObject {
    Q_OBJECT

private slots:
    void perplexityHasFiveDigits_data()
    {
        QTest::addColumn<double>("value");
        QTest::addColumn<QString>("text");
        QTest::newRow("below ten") << 5.67114 << "5.6711";
        QTest::newRow("rounds up to ten") << 9.99996 << "10.000";
        QTest::newRow("tens") << 12.3456 << "12.346";
        QTest::newRow("hundreds") << 260.8 << "260.80";
        QTest::newRow("thousands") << 2998.04 << "2998.0";
        QTest::newRow("huge") << 123456.0 << "1.23e+05";
        QTest::newRow("infinite") << double(INFINITY) << "inf";
        QTest::newRow("none") << double(NAN) << "-";
    }
    void perplexityHasFiveDigits()
    {
        QFETCH(double, value);
        QTEST(QString::fromStdString(formatPerplexity(value)), "text");
    }

    void errorHasTwoDigitsAndTheValueTheSamePlace_data()
    {
        QTest::addColumn<double>("value");
        QTest::addColumn<double>("error");
        QTest::addColumn<QString>("text");
        QTest::newRow("hundredths") << 5.67114 << 0.0123 << "5.671 ± 0.012";
        QTest::newRow("tenths") << 15.5 << 0.98 << "15.50 ± 0.98";
        QTest::newRow("ones") << 2998.0 << 12.3 << "2998 ± 12";
        QTest::newRow("no error") << 5.67114 << 0.0 << "5.6711";
    }
    void errorHasTwoDigitsAndTheValueTheSamePlace()
    {
        QFETCH(double, value);
        QFETCH(double, error);
        QTEST(QString::fromStdString(formatWithError(value, error)), "text");
    }

    void numbersHaveThreeDigits_data()
    {
        QTest::addColumn<double>("value");
        QTest::addColumn<QString>("text");
        QTest::newRow("zero") << 0.0 << "0";
        QTest::newRow("tiny") << -0.0000123 << "-1.23e-05";
        QTest::newRow("thousandths") << 0.00123456 << "0.00123";
        QTest::newRow("hundredths") << 0.012345 << "0.0123";
        QTest::newRow("tenths") << 0.5 << "0.500";
        QTest::newRow("ones") << 5.678 << "5.68";
        QTest::newRow("carries") << 9.996 << "10.0";
        QTest::newRow("tens") << 12.34 << "12.3";
        QTest::newRow("thousands") << 1234.4 << "1234";
        QTest::newRow("huge") << 123456.0 << "1.23e+05";
        QTest::newRow("none") << double(NAN) << "-";
        QTest::newRow("infinite") << -double(INFINITY) << "-inf";
    }
    void numbersHaveThreeDigits()
    {
        QFETCH(double, value);
        QTEST(QString::fromStdString(formatNumber(value)), "text");
    }

    void countsHaveGroupsOfThree()
    {
        QCOMPARE(formatQuantity(0, "bit"), std::string("0 bit"));
        QCOMPARE(formatQuantity(999.4, "bit"), std::string("999 bit"));
        QCOMPARE(formatQuantity(999.6, "bit"), std::string("1.00 kbit"));
        QCOMPARE(formatQuantity(12947456, "bit"), std::string("12.9 Mbit"));
        QCOMPARE(formatQuantity(1622016, ""), std::string("1.62 M"));
        QCOMPARE(formatQuantity(7, ""), std::string("7"));
        QCOMPARE(formatCount(0), std::string("0"));
        QCOMPARE(formatCount(999), std::string("999"));
        QCOMPARE(formatCount(-1000), std::string("-1,000"));
        QCOMPARE(formatCount(2016960), std::string("2,016,960"));
    }

    void bitsPercentAndTime()
    {
        QCOMPARE(formatBits(NAN), std::string("-"));
        QCOMPARE(formatPercent(NAN), std::string("-"));
        QCOMPARE(formatPercent(1.0), std::string("100.0 %"));
        QCOMPARE(formatSeconds(NAN), std::string("-"));
        QCOMPARE(formatSeconds(9.96), std::string("10 s"));
        QCOMPARE(formatSeconds(45.4), std::string("45 s"));
        QCOMPARE(formatBits(4.2549), std::string("4.25"));
        QCOMPARE(formatPercent(0.0123), std::string("1.23 %"));
        QCOMPARE(formatPercent(0.5), std::string("50.0 %"));
        QCOMPARE(formatPercent(0.0), std::string("0.00 %"));
        QCOMPARE(formatPercent(-0.00001), std::string("-1.0e-03 %"));
        QCOMPARE(formatSeconds(0.44), std::string("0.4 s"));
        QCOMPARE(formatSeconds(59.97), std::string("1 min 00 s"));
        QCOMPARE(formatSeconds(200), std::string("3 min 20 s"));
        QCOMPARE(formatSeconds(7500), std::string("2 h 05 min"));
    }

    void layersAreNamedFromTheirBlockOn()
    {
        QCOMPARE(shortLayerName("model.layers.3.mlp.up_proj"), std::string("3.mlp.up_proj"));
        QCOMPARE(shortLayerName("model.decoder.project_in"), std::string("model.decoder.project_in"));
        QCOMPARE(shortLayerName("h2.0.attn"), std::string("h2.0.attn"));
        QCOMPARE(shortLayerName("0.mlp"), std::string("0.mlp"));
    }
};

QTEST_GUILESS_MAIN(TestNumberFormat)
#include "tst_number_format.moc"
