// SPDX-License-Identifier: Apache-2.0
#include <QtTest>

#include "core/recipe/layer_selector.h"
#include "tests/recipe/recipe_sites.h"
#include "tests/support/shared_data.h"

using namespace lqer;

class TestLayerSelector : public QObject {
    Q_OBJECT

private slots:
    void patternMatchesTheWholeNameOnly_data()
    {
        QTest::addColumn<QString>("pattern");
        QTest::addColumn<QString>("name");
        QTest::addColumn<bool>("matches");
        QTest::newRow("same") << "a\\.b"
                              << "a.b" << true;
        QTest::newRow("prefix") << "a\\.b"
                                << "a.b.weight" << false;
        QTest::newRow("suffix") << "b"
                                << "a.b" << false;
        QTest::newRow("longer branch wins over the first") << "a|ab"
                                                           << "ab" << true;
        QTest::newRow("digits") << "model\\.layers\\.[0-9]+\\.mlp\\.(up|down)_proj"
                                << "model.layers.12.mlp.down_proj" << true;
        QTest::newRow("dot matches any") << "a.b"
                                         << "axb" << true;
        QTest::newRow("everything") << ".*"
                                    << "model.layers.0" << true;
        QTest::newRow("empty pattern, empty name") << ""
                                                   << "" << true;
        QTest::newRow("empty pattern, some name") << ""
                                                  << "a" << false;
        QTest::newRow("anchors are harmless") << "^a$"
                                              << "a" << true;
        QTest::newRow("case matters") << "A"
                                      << "a" << false;
    }
    void patternMatchesTheWholeNameOnly()
    {
        QFETCH(QString, pattern);
        QFETCH(QString, name);
        const NamePattern compiled(pattern.toStdString());
        QCOMPARE(compiled.error(), std::string());
        QTEST(compiled.matches(name.toStdString()), "matches");
    }

    void badPatternSaysWhereAndCannotBeUsed_data()
    {
        QTest::addColumn<QString>("pattern");
        QTest::addColumn<QString>("part");
        QTest::newRow("open bracket") << "mlp\\.(up|down"
                                      << "missing )";
        QTest::newRow("open class") << "a[0-9"
                                    << "at character 2";
        QTest::newRow("nothing to repeat") << "*a"
                                           << "at character 1";
        QTest::newRow("look-ahead") << "a(?!b)"
                                    << "at character 2";
        QTest::newRow("back-reference") << "(a)\\1"
                                        << "at character 4";
        QTest::newRow("nested repeats") << "((a{100}){100}){100}"
                                        << "invalid pattern";
        QTest::newRow("too long") << QString(257, 'a') << "257 characters";
        QTest::newRow("invalid UTF-8") << QString() << "UTF-8";
    }
    void badPatternSaysWhereAndCannotBeUsed()
    {
        QFETCH(QString, pattern);
        QFETCH(QString, part);
        const NamePattern compiled(pattern.isNull() ? std::string("a\xff") : pattern.toStdString());
        QVERIFY2(compiled.error().find(part.toStdString()) != std::string::npos, compiled.error().c_str());
        ErrorCode code{};
        QVERIFY(!test::errorOf([&] { compiled.matches("a"); }, &code).empty());
        QVERIFY(code == ErrorCode::Argument);
    }

    void longestPatternThatIsAllowedWorks()
    {
        const std::string text(256, 'a');
        QVERIFY(NamePattern(text).matches(text));
    }

    void patternsThatExplodeElsewhereTakeLinearTime()
    {
        // std::regex needs seconds for 26 characters of this and overflows its stack on the other (reliability.md 4).
        QVERIFY(!NamePattern("(a+)+$").matches(std::string(5000, 'a') + "b"));
        QVERIFY(NamePattern("(a|b)*").matches(std::string(200000, 'a')));
    }

    void rolesAndBlocksRestrictThePattern()
    {
        const auto sites = test::llamaSites(4);
        LayerSelector selector;
        selector.roles = {LinearRole::Up, LinearRole::Gate};
        selector.blocks = {{0, 0}, {2, 3}};
        std::vector<std::string> matched;
        for (const LinearSite &site : sites)
            if (selector.matches(site))
                matched.push_back(site.name);
        const std::vector<std::string> expected = {"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj",
                                                   "model.layers.2.mlp.gate_proj", "model.layers.2.mlp.up_proj",
                                                   "model.layers.3.mlp.gate_proj", "model.layers.3.mlp.up_proj"};
        QCOMPARE(matched, expected);
    }

    void attentionIsMatchedByItsModuleName()
    {
        const auto sites = test::llamaSites(3);
        QCOMPARE(attentionModule(sites, 1), std::string("model.layers.1.self_attn"));
        QCOMPARE(attentionModule(sites, 3), std::string());
        LayerSelector selector{NamePattern("model\\.layers\\.\\d+\\.self_attn"), {}, {{1, 2}}};
        QVERIFY(!selector.matchesAttention(0, "model.layers.0.self_attn"));
        QVERIFY(selector.matchesAttention(1, "model.layers.1.self_attn"));
        selector.roles = {LinearRole::Query};
        QVERIFY(!selector.matchesAttention(1, "model.layers.1.self_attn"));
    }

    void rolesHaveNames()
    {
        QVERIFY(linearRoleFromString("down") == LinearRole::Down);
        QVERIFY(linearRoleFromString("qkv") == LinearRole::FusedQkv);
        const std::string message = test::errorOf([] { linearRoleFromString("dwn"); });
        QVERIFY2(message.find("'dwn'") != std::string::npos && message.find("down") != std::string::npos, message.c_str());
    }

    void oneOfSeveralPatternsMayMatch()
    {
        const std::vector<std::string> patterns = {"a\\.[0-9]+", "a\\.1", "default-1"};
        QCOMPARE(findMatchedPattern(patterns, "a.2"), std::optional<std::string>("a\\.[0-9]+"));
        QCOMPARE(findMatchedPattern(patterns, "default-1"), std::optional<std::string>("default-1"));
        QCOMPARE(findMatchedPattern(patterns, "b"), std::optional<std::string>());
        ErrorCode code{};
        const std::string message = test::errorOf([&] { findMatchedPattern(patterns, "a.1"); }, &code);
        QVERIFY(code == ErrorCode::Argument);
        QVERIFY2(message.find("two patterns") != std::string::npos, message.c_str());
    }
};

QTEST_GUILESS_MAIN(TestLayerSelector)
#include "tst_layer_selector.moc"
