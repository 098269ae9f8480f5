// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include <vector>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/pipeline/config_overrides.h"

using namespace lqer;

namespace {

Json sample()
{
    return parseJson(R"({"project": "p", "enable": true, "tags": ["a"], "nothing": null,
        "approximate": {"approximator": {"default": {"rank": 32, "scale": 0.5}, "a:b": {"rank": 1}, "a": {"rank": 2}}}})",
        "sample");
}

}  // namespace

class TestConfigOverrides : public QObject {
    Q_OBJECT
private slots:
    void aTextTakesTheTypeThatIsThere_data()
    {
        QTest::addColumn<QString>("argument");
        QTest::addColumn<QString>("path");
        QTest::addColumn<QString>("json");
        QTest::newRow("text") << "--project=q"
                              << "project"
                              << R"("q")";
        QTest::newRow("one dash") << "-project=q"
                                  << "project"
                                  << R"("q")";
        QTest::newRow("text of digits") << "--project=12"
                                        << "project"
                                        << R"("12")";
        QTest::newRow("empty text") << "--project="
                                    << "project"
                                    << R"("")";
        QTest::newRow("equals signs in the value") << "--project=a=b=c"
                                                   << "project"
                                                   << R"("a=b=c")";
        QTest::newRow("integer") << "--approximate:approximator:default:rank=64"
                                 << "approximate:approximator:default:rank"
                                 << "64";
        QTest::newRow("number") << "--approximate:approximator:default:scale=2"
                                << "approximate:approximator:default:scale"
                                << "2.0";
        QTest::newRow("true") << "--enable=True"
                              << "enable"
                              << "true";
        QTest::newRow("false") << "--enable=false"
                               << "enable"
                               << "false";
        QTest::newRow("zero") << "--enable=0"
                              << "enable"
                              << "false";
        QTest::newRow("NA") << "--approximate:approximator:default:rank=NA"
                            << "approximate:approximator:default:rank"
                            << "null";
        QTest::newRow("list") << "--tags=['b', 'c']"
                              << "tags"
                              << R"(["b","c"])";
        QTest::newRow("null becomes a number") << "--nothing=5"
                                               << "nothing"
                                               << "5";
        QTest::newRow("null becomes a text") << "--nothing=wikitext2"
                                             << "nothing"
                                             << R"("wikitext2")";
        QTest::newRow("literal of another type") << "--enable=:ast:0"
                                                 << "enable"
                                                 << "0";
        QTest::newRow("literal makes keys") << "--q_config:linear:x=:ast:[1,-1]"
                                            << "q_config:linear:x"
                                            << "[1,-1]";
        QTest::newRow("a key with a colon") << "--approximate:approximator:a:b:rank=9"
                                            << "approximate:approximator:a:b:rank"
                                            << "9";
        QTest::newRow("the shorter key") << "--approximate:approximator:a:rank=9"
                                         << "approximate:approximator:a:rank"
                                         << "9";
    }
    void aTextTakesTheTypeThatIsThere()
    {
        QFETCH(QString, argument);
        QFETCH(QString, path);
        Json config = sample();
        applyConfigOverrides(config, std::vector<std::string>{argument.toStdString()});
        const Json *const value = findConfigValue(config, path.toStdString());
        QVERIFY(value);
        QTEST(QString::fromStdString(value->dump()), "json");
    }

    void everythingElseStaysAsItWas()
    {
        Json config = sample();
        applyConfigOverride(config, {"approximate:approximator:a:b:rank", "7"});
        Json expected = sample();
        expected.asObject()[4].second.asObject()[0].second.asObject()[1].second.set("rank", 7);
        QCOMPARE(config.dump(), expected.dump());
    }

    void whatCannotBeMeantIsAnError_data()
    {
        QTest::addColumn<QString>("argument");
        QTest::addColumn<QString>("part");
        QTest::newRow("no value") << "--project"
                                  << "is no override";
        QTest::newRow("no dash") << "project=q"
                                 << "is no override";
        QTest::newRow("no path") << "--=q"
                                 << "no path of keys";
        QTest::newRow("empty key") << "--a::b=q"
                                   << "no path of keys";
        QTest::newRow("end of path") << "--a:=q"
                                     << "no path of keys";
        QTest::newRow("unknown, near") << "--projects=q"
                                       << "did you mean 'project'?";
        QTest::newRow("unknown, near, deep") << "--approximate:approximator:default:ranks=q"
                                             << "'approximate:approximator:default' has no key 'ranks'; did you mean 'rank'?";
        QTest::newRow("unknown table") << "--evaluate:dataset=q"
                                       << "the configuration has no key 'evaluate'";
        QTest::newRow("through a value") << "--project:name=q"
                                         << "'project' is a value";
        QTest::newRow("through a value, literal") << "--project:name=:ast:1"
                                                  << "'project' is a value";
        QTest::newRow("no integer") << "--approximate:approximator:default:rank=3.5"
                                    << "an integer expected, found '3.5'";
        QTest::newRow("too big") << "--approximate:approximator:default:rank=99999999999999999999"
                                 << "an integer expected";
        QTest::newRow("no number") << "--approximate:approximator:default:scale=nan"
                                   << "a number expected";
        QTest::newRow("no flag") << "--enable=maybe"
                                 << "true or false expected, found 'maybe'";
        QTest::newRow("no list") << "--tags=b"
                                 << "a list, such as [1, 16], expected";
        QTest::newRow("a table") << "--approximate=b"
                                 << "a key inside this table expected";
        QTest::newRow("no literal") << "--enable=:ast:false"
                                    << "no Python literal";
    }
    void whatCannotBeMeantIsAnError()
    {
        QFETCH(QString, argument);
        QFETCH(QString, part);
        Json config = sample();
        try {
            applyConfigOverrides(config, std::vector<std::string>{argument.toStdString()});
            QFAIL("accepted");
        } catch (const Error &error) {
            QVERIFY(error.code() == ErrorCode::Argument);
            QVERIFY2(QString(error.what()).contains(part), error.what());
        }
        QCOMPARE(config.dump(), sample().dump());
    }

    void aFlagSwitchedOffByItsNameSaysWhatTheOfficialCodeDoes()
    {
        std::vector<std::string> lines;
        setLogSink([&](LogLevel level, const std::string &message) {
            if (level == LogLevel::Warning)
                lines.push_back(message);
        });
        Json config = sample();
        applyConfigOverride(config, {"enable", "true"});
        QCOMPARE(lines.size(), std::size_t{0});
        applyConfigOverride(config, {"enable", "False"});
        setLogSink({});
        QCOMPARE(lines.size(), std::size_t{1});
        QVERIFY(lines[0].find(":ast:0") != std::string::npos);
    }

    void valuesAreSetByPath()
    {
        Json config = sample();
        setConfigValue(config, "approximate:approximator:default:rank", 8, false);
        QCOMPARE(findConfigValue(config, "approximate:approximator:default:rank")->asInteger(), 8);
        QVERIFY_EXCEPTION_THROWN(setConfigValue(config, "profile:num_samples", 8, false), Error);
        setConfigValue(config, "profile:num_samples", 8, true);
        QCOMPARE(findConfigValue(config, "profile:num_samples")->asInteger(), 8);
        QVERIFY(!findConfigValue(config, "profile:samples"));
        QVERIFY(!findConfigValue(config, "project:name"));
    }

    void naIsNullAtAnyDepthAndBack()
    {
        const Json na = parseJson(R"({"a": "NA", "b": ["NA", 1, {"c": "NA"}], "NA": "NAN"})", "sample");
        const Json nulls = nullsFromNa(na);
        QCOMPARE(nulls.dump(), std::string(R"({"a":null,"b":[null,1,{"c":null}],"NA":"NAN"})"));
        QCOMPARE(naFromNulls(nulls).dump(), na.dump());
    }
};

QTEST_GUILESS_MAIN(TestConfigOverrides)
#include "tst_config_overrides.moc"
